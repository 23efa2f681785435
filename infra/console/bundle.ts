import { join } from 'node:path';
import { build } from 'esbuild';

/** One file that the page is made of. */
export interface File {
  type: string;
  content: string;
}

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%23276'/%3E" +
  "%3Cpath d='M8 3.5V8l3 2' fill='none' stroke='%23fff' stroke-width='1.8'/%3E%3C/svg%3E";

const HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>solotick</title>
<link rel="icon" href="${ICON}">
<link rel="stylesheet" href="style.css">
<script type="module" src="script.js"></script>
</head>
<body><div id="console"></div><noscript>This page needs JavaScript, which this console serves itself.</noscript></body>
</html>
`;

/**
 * A browser that was started without a locale (LANG=C) says that its language is en-US@posix. Intl throws at such a name, and so
 * would uPlot while it is loaded, which leaves the page empty.
 */
const BEFORE = `try{new Intl.Locale(navigator.language)}catch{Object.defineProperty(navigator,'language',{value:'en'})}`;

/** Bundles the page. @returns its files, by their paths below the token */
export async function bundlePage(): Promise<Map<string, File>> {
  const { outputFiles } = await build({
    entryPoints: { script: join(import.meta.dirname, 'page/main.tsx') },
    outdir: '/',
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    banner: { js: BEFORE },
    logLevel: 'silent',
  });
  const contentOf = (ending: string) => outputFiles.find(({ path }) => path.endsWith(ending))?.text ?? '';
  return new Map([
    ['/', { type: 'text/html; charset=utf-8', content: HTML }],
    ['/script.js', { type: 'text/javascript; charset=utf-8', content: contentOf('.js') }],
    ['/style.css', { type: 'text/css; charset=utf-8', content: contentOf('.css') }],
  ]);
}
