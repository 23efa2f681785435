/** Draws from a seeded random generator. */
export interface Draw {
  /** A whole number from `least` to `most`. */
  from(least: number, most: number): number;
  chance(share: number): boolean;
  one<T>(choices: readonly T[]): T;
  some<T>(choices: readonly T[], share: number): T[];
}

export function drawWith(random: () => number): Draw {
  const from = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
  return {
    from,
    chance: (share) => random() < share,
    one: (choices) => choices[from(0, choices.length - 1)]!,
    some: (choices, share) => choices.filter(() => random() < share),
  };
}
