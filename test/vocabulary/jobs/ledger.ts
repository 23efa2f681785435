import * as v from 'valibot';
import { cursorPages, defineJob } from '../../../lib/job.ts';

/** The bookings of a bank, to a ledger. Both know us by the certificate in `tls` of the secret, so there is no `auth`. */
export default defineJob({
  record: v.object({ booking: v.number(), cents: v.number(), bookedAt: v.string() }),
  id: (booking) => booking.booking,
  updatedAt: (booking) => booking.bookedAt,
  source: {
    list: cursorPages({
      path: '/bookings',
      query: ({ since, until }) => ({ from: since, to: until }),
      records: 'bookings',
      next: 'links.after',
      param: 'after',
    }),
    one: (id) => `/bookings/${id}`,
  },
  target: {
    write: ({ booking, ...entry }) => ({ method: 'PUT', path: `/entries/${booking}`, body: entry }),
  },
});
