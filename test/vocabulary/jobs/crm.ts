import * as v from 'valibot';
import { bearer, cursorPages, defineJob, oauth2 } from '../../../lib/job.ts';

/** The contacts of a CRM that is searched by POST, to a mailing service. */
export default defineJob({
  settings: v.object({ TOKEN_URL: v.string() }),
  secret: v.object({ clientId: v.string(), clientSecret: v.string(), mailToken: v.string() }),
  record: v.object({ id: v.string(), properties: v.object({ email: v.string() }), updatedAt: v.string() }),
  id: (contact) => contact.id,
  updatedAt: (contact) => new Date(contact.updatedAt),
  source: {
    auth: ({ secret, settings }) =>
      oauth2({
        tokenUrl: settings.TOKEN_URL,
        clientId: secret.clientId,
        clientSecret: secret.clientSecret,
        scope: 'contacts',
      }),
    list: cursorPages({
      path: '/contacts/search',
      body: (after, { since }) => ({
        filters: [{ property: 'modified', operator: 'GTE', value: since }],
        limit: 100,
        after,
      }),
      records: 'results',
      next: 'paging.next.after',
    }),
  },
  target: {
    auth: ({ secret }) => bearer(secret.mailToken),
    check: ({ status }) => (status === 409 ? 'written' : undefined),
    write: ({ properties }) => ({
      method: 'POST',
      path: '/subscribers',
      body: new URLSearchParams({ mail: properties.email }),
    }),
  },
});
