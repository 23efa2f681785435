import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sampleDashboard } from './sample-dashboard.ts';

// Draws the dashboard with sample data, for somebody to look at it before AWS does.
const file = process.argv[2] ?? join(tmpdir(), 'solotick-dashboard.svg');
const { svg, drawn } = await sampleDashboard();
await writeFile(file, svg);
console.log(`${drawn.length} widgets with sample data: ${file}`);
