/** `overlayd doctor`: what is wrong here, and the cure. Exit code 1 when something is. */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { Finding } from '../../doctor/finding.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import { EXIT } from '../context.ts';
import type { CliContext } from '../context.ts';
import { colourer, printJson, printable, renderTable } from '../output.ts';
import type { Column } from '../output.ts';

const DOCKER_SOCKET = '/var/run/docker.sock';

interface DoctorOptions extends ClientOptions {
  readonly config?: string;
  readonly dockerSocket?: string;
}

export function doctorCommand(context: CliContext): Command {
  return clientVerb('doctor', 'find what is wrong, and say the cure; also when no daemon runs', [
    'overlayd doctor',
    'overlayd doctor -o json | jq ".[] | select(.severity == \\"error\\")"',
    'overlayd doctor --config /etc/overlayd/overlayd.yaml',
  ])
    .addOption(
      new Option(
        '--config <FILE>',
        "configuration to look at when no daemon answers (default: the unit's, if it is there)",
      ).env('OVERLAYD_CONFIG'),
    )
    .option(
      '--docker-socket <PATH>',
      `Docker's API (default: the configured one, that of DOCKER_HOST, or ${DOCKER_SOCKET})`,
    )
    .action(async (options: DoctorOptions) => {
      const { examine } = await import('../../doctor/examine.ts');
      const { degraded } = await import('../../doctor/finding.ts');
      const findings = await withClient(options.socket, (client) =>
        examine({
          client,
          environment: context.environment,
          configFile: options.config,
          dockerSocket: options.dockerSocket,
          defaultDockerSocket: dockerHost(context.environment['DOCKER_HOST']),
        }),
      );
      if (options.output === 'json') printJson(context, findings);
      else print(context, options, findings);
      if (degraded(findings)) context.exitCode = EXIT.failed;
    });
}

function dockerHost(url: string | undefined): string {
  return url?.startsWith('unix://') === true ? url.slice('unix://'.length) : DOCKER_SOCKET;
}

/** Worst first; the cure on a line of its own, for it is what will be copied. */
function print(context: CliContext, options: ClientOptions, findings: readonly Finding[]): void {
  const order = { error: 0, warn: 1, info: 2 };
  const worstFirst = findings.toSorted((a, b) => order[a.severity] - order[b.severity]);
  if (options.output === 'wide') {
    context.out(renderTable(worstFirst, columns(context), options));
  } else {
    const colour = severityColour(context);
    for (const { severity, check, what, cure } of worstFirst) {
      context.out(`${colour(severity)} ${printable(check)}: ${printable(what)}\n`);
      if (cure !== undefined) context.out(`        ${printable(cure)}\n`);
    }
  }
  const count = (severity: Finding['severity']): number =>
    findings.filter((finding) => finding.severity === severity).length;
  const [errors, warnings] = [count('error'), count('warn')];
  context.err(
    errors + warnings === 0
      ? 'overlayd: nothing is wrong\n'
      : `overlayd: ${errors} errors, ${warnings} warnings\n`,
  );
}

function severityColour(context: CliContext): (severity: Finding['severity']) => string {
  const colour = colourer(context);
  const COLOURS = { error: 'red', warn: 'yellow', info: 'dim' } as const;
  return (severity) => colour(COLOURS[severity], `[${severity}]`.padEnd(7));
}

function columns(context: CliContext): Column<Finding>[] {
  const colour = severityColour(context);
  return [
    { title: 'SEVERITY', value: ({ severity }) => colour(severity).trim() },
    { title: 'CHECK', value: ({ check }) => printable(check) },
    { title: 'WHAT', value: ({ what }) => printable(what) },
    { title: 'CURE', value: ({ cure }) => cure && printable(cure) },
  ];
}
