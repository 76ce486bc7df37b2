/** `overlayd completion`: shell completion, generated from the commands themselves. */
import { Argument } from 'commander';
import type { Command } from 'commander';
import { verb } from '../client-command.ts';
import type { CliContext } from '../context.ts';

/** A verb (words parted by spaces) and what may follow it. */
interface Completion {
  readonly verb: string;
  readonly words: readonly { readonly word: string; readonly description: string }[];
}

type Shell = 'bash' | 'zsh' | 'fish';

export function completionCommand(context: CliContext): Command {
  return verb('completion', 'completion for a shell', [
    'overlayd completion bash > /etc/bash_completion.d/overlayd',
    'overlayd completion zsh > "${fpath[1]}/_overlayd"',
    'overlayd completion fish > ~/.config/fish/completions/overlayd.fish',
  ])
    .addArgument(new Argument('<SHELL>', 'which shell').choices(['bash', 'zsh', 'fish']))
    .action((shell: Shell, _: unknown, command: Command) => {
      const root = command.parent ?? command;
      context.out(SCRIPTS[shell](completionsOf(root, '')));
    });
}

function completionsOf(command: Command, path: string): Completion[] {
  const words = [
    ...command.commands.map((child) => ({ word: child.name(), description: child.description() })),
    ...command.options.flatMap(({ long, description }) => (long ? [{ word: long, description }] : [])),
    { word: '--help', description: 'help' },
  ];
  const below = command.commands.flatMap((child) => completionsOf(child, `${path} ${child.name()}`.trim()));
  return [{ verb: path, words }, ...below];
}

const SCRIPTS: Readonly<Record<Shell, (completions: readonly Completion[]) => string>> = {
  bash: (completions) => `# overlayd completion for bash
_overlayd() {
  local verb="" i words=""
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in -*) break ;; esac
    verb="\${verb:+$verb }\${COMP_WORDS[i]}"
  done
  case "$verb" in
${cases(completions, (words) => `words="${words.join(' ')}"`)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _overlayd overlayd
`,
  zsh: (completions) => `#compdef overlayd
_overlayd() {
  local verb="" i
  for ((i = 2; i < CURRENT; i++)); do
    [[ "\${words[i]}" == -* ]] && break
    verb="\${verb:+$verb }\${words[i]}"
  done
  case "$verb" in
${cases(completions, (words) => `compadd -- ${words.join(' ')}`)}
    *) _files ;;
  esac
}
compdef _overlayd overlayd
`,
  fish: (completions) =>
    `# overlayd completion for fish\ncomplete -c overlayd -f\n${completions.flatMap(fishLines).join('\n')}\n`,
};

function cases(completions: readonly Completion[], act: (words: string[]) => string): string {
  return completions
    .map(({ verb: path, words }) => `    "${path}") ${act(words.map(({ word }) => word))} ;;`)
    .join('\n');
}

function fishLines({ verb: path, words }: Completion): string[] {
  const condition =
    path === '' ? '__fish_use_subcommand' : `__fish_seen_subcommand_from ${path.split(' ').at(-1)}`;
  return words.map(({ word, description }) => {
    const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-a ${word}`;
    return `complete -c overlayd -n "${condition}" ${what} -d '${description.replaceAll("'", String.raw`\'`)}'`;
  });
}
