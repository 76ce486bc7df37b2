/** Which sizes to try between what passes and what does not: first those that links really have, then ever finer. */

/** Ethernet less the tunnels and access lines that are about: PPPoE, GRE, VXLAN, IPsec, WireGuard, cloud networks. */
const COMMON = [
  1_280, 1_300, 1_320, 1_340, 1_350, 1_360, 1_372, 1_380, 1_390, 1_400, 1_410, 1_420, 1_430, 1_440, 1_450,
  1_454, 1_460, 1_464, 1_472, 1_476, 1_480, 1_488, 1_492, 1_500, 2_000, 3_000, 4_000, 8_500, 8_900, 8_950,
  9_000, 9_001,
];

/** Sizes that links have above `low` and below `high`, rising; `link`, the largest that makes sense, is one of them. */
export function knownSizes(low: number, high: number, link: number): number[] {
  const end = Math.min(high, link + 1);
  const known = COMMON.filter((size) => size > low && size < end && size !== link);
  if (link > low && link < end) known.push(link);
  return known;
}

/**
 * At most `count` sizes above `low` and below `high`, `link` being the largest that makes sense; rising. None: the search
 * is over, because the two are not more than `step` apart. `count`: a handful.
 */
export function candidates(low: number, high: number, link: number, step: number, count: number): number[] {
  const end = Math.min(high, link + 1);
  if (end - low <= 1 || (end - low <= step && high <= link)) return [];
  const known = knownSizes(low, high, link);
  if (known.length > 0) return spread(known, count);
  const finer = Array.from(
    { length: count },
    (_, i) => low + Math.floor(((end - low) * (i + 1)) / (count + 1)),
  );
  return [...new Set(finer)].filter((size) => size > low);
}

/** `count` of them at even distances, the first and the last among them. */
export function spread(sizes: readonly number[], count: number): number[] {
  if (sizes.length <= count) return [...sizes];
  const picked = Array.from({ length: count }, (_, i) => Math.round((i * (sizes.length - 1)) / (count - 1)));
  return picked.map((index) => sizes[index] as number);
}
