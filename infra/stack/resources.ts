/** The resources of a template, by their logical ids. */
export type Resources = Record<string, Resource>;

export interface Resource {
  Type: string;
  Properties: Record<string, unknown>;
}

/**
 * Puts `prefix` before the ids of a job's resources, so that those of another job have other ids, and changes what refers to
 * them.
 * @param functions the ids that osls gives to the functions, by their ids here
 */
export function prefixed(resources: Resources, prefix: string, functions: Record<string, string>): Resources {
  const renamed = new Map(Object.keys(resources).map((id) => [id, prefix + id]));
  for (const [id, other] of Object.entries(functions)) renamed.set(id, other);
  return Object.fromEntries(
    Object.entries(resources).map(([id, resource]) => [renamed.get(id), referring(resource, renamed) as Resource]),
  );
}

function referring(part: unknown, renamed: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(part)) return part.map((each) => referring(each, renamed));
  if (typeof part !== 'object' || part === null) return part;
  const { Ref: ref, 'Fn::GetAtt': attribute } = part as { Ref?: string; 'Fn::GetAtt'?: [id: string, name: string] };
  if (ref !== undefined) return { Ref: renamed.get(ref) ?? ref };
  if (attribute) return { 'Fn::GetAtt': [renamed.get(attribute[0]) ?? attribute[0], attribute[1]] };
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, referring(value, renamed)]));
}
