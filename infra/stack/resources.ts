/** The resources of the template that osls has compiled, by their logical ids. */
export type Resources = Record<string, Resource>;

export interface Resource {
  Type: string;
  Properties: Record<string, unknown>;
}
