/** A text and the room that it has; CloudWatch cuts one that is wider. */
export interface Text {
  text: string;
  widthPx: number;
  roomPx: number;
}

/** The share of the height of a letter that a letter of a sans-serif font is wide on average: AWS's own is not here to be measured. */
const LETTER = 0.52;

export const widthOf = (text: string, fontPx: number) => text.length * fontPx * LETTER;

export const escapeXml = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

/** What is drawn of one widget. */
export function openSheet() {
  const svg: string[] = [];
  const texts: Text[] = [];
  return {
    svg,
    texts,
    /** Writes a text, cut where it has no room. */
    write(text: string, at: { x: number; y: number; fontPx: number; roomPx: number; more?: string }) {
      const { x, y, fontPx, roomPx, more = '' } = at;
      const widthPx = widthOf(text, fontPx);
      texts.push({ text, widthPx, roomPx });
      const shown = widthPx > roomPx ? `${text.slice(0, Math.floor(roomPx / (fontPx * LETTER)) - 1)}…` : text;
      svg.push(`<text x="${x}" y="${y}" font-size="${fontPx}" ${more}>${escapeXml(shown)}</text>`);
    },
    line(x1: number, y1: number, x2: number, y2: number, style: string) {
      svg.push(`<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" ${style}/>`);
    },
  };
}

export type Sheet = ReturnType<typeof openSheet>;
