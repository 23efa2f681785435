/** The zone in which the page's fields are. */
export const TIME_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** The moment that a field for a local time names, in UTC; undefined for an empty one. */
export const instantOf = (local: string): string | undefined => (local ? new Date(local).toISOString() : undefined);
