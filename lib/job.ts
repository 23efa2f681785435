// The vocabulary of jobs: all that a file of `functions/jobs` imports. Nothing in `lib` imports this file.
export type { Auth } from './auth.ts';
export { defineJob } from './define-job.ts';
export { exactNumber } from './exact-number.ts';
export { apiKey, auth, basic, bearer, oauth2, sigV4 } from './http/auth.ts';
export type { ExactNumber } from './inexact-number.ts';
export { instant } from './instant.ts';
export type {
  Answer,
  Context,
  List,
  Listing,
  Outcome,
  Page,
  Push,
  Query,
  Request,
  Select,
  SourceJob as Source,
  TargetJob as Target,
  Window,
  WriteContext,
  WriteMany,
} from './job-types.ts';
export { numberedPages, offsetPages } from './read/counted-pages.ts';
export { cursorPages } from './read/cursor-pages.ts';
export { linkPages } from './read/link-pages.ts';
export { streamPages } from './read/stream-pages.ts';
export { urlPages } from './read/url-pages.ts';
