import type { StandardSchemaV1 } from '@standard-schema/spec';

/** The keys and indices that lead to a value. */
export const pathOf = ({ path = [] }: StandardSchemaV1.Issue): PropertyKey[] =>
  path.map((part) => (typeof part === 'object' ? part.key : part));

/** Where a value is wrong, as `a.b.0`; empty for the value itself. */
export const placeOf = (issue: StandardSchemaV1.Issue): string => pathOf(issue).map(String).join('.');

/** What lies at that place; undefined where nothing does. */
export const foundAt = (issue: StandardSchemaV1.Issue, value: unknown): unknown =>
  pathOf(issue).reduce((at: unknown, key) => Object(at)[key], value);

/** What was expected there, without what was found, which most libraries quote. */
export const expectationOf = ({ message }: StandardSchemaV1.Issue): string =>
  message.replace(/,?( but)? received .*$| \(was .*$/s, '');
