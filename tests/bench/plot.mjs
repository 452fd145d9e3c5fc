// Line charts as SVG that stands by itself: no fonts and no styles from elsewhere, text as text, readable on light and on dark.
import { number } from './report.mjs';

const WIDTH = 860;
const PANEL = { left: 70, top: 70, width: 330, height: 250, apart: 430 };
const HEIGHT = 400;
const TICKS = 5;
const marks = ['circle', 'square'];

const escape = (text) => text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]);
const at = (value) => value.toFixed(1);

// A round step so that `TICKS` of them, or one fewer, reach `most`.
function stepOf(most) {
  const rough = most / TICKS;
  const ten = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * ten).find((step) => step >= rough);
}

function ticksOf(most) {
  const step = stepOf(most);
  const count = Math.ceil(most / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, i) => i * step);
}

function text(x, y, words, more = '') {
  return `<text x="${at(x)}" y="${at(y)}" ${more}>${escape(words)}</text>`;
}

function mark(shape, x, y) {
  if (shape === 'circle') return `<circle cx="${at(x)}" cy="${at(y)}" r="4"/>`;
  return `<rect x="${at(x - 4)}" y="${at(y - 4)}" width="8" height="8"/>`;
}

function line(x1, y1, x2, y2, kind) {
  return `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" class="${kind}"/>`;
}

function drawSeries({ points }, index, placeX, placeY) {
  const shown = points.map(({ x, median }) => `${at(placeX(x))},${at(placeY(median))}`);
  return [
    `<g class="series-${index}">`,
    ...points.map(({ x, least, most }) => line(placeX(x), placeY(least), placeX(x), placeY(most), 'spread')),
    `<polyline points="${shown.join(' ')}"/>`,
    ...points.map(({ x, median }) => mark(marks[index % marks.length], placeX(x), placeY(median))),
    '</g>',
  ];
}

function drawPanel({ y: axis, series }, left, xAxis) {
  const all = series.flatMap(({ points }) => points);
  const xs = ticksOf(Math.max(...all.map(({ x }) => x)));
  const ys = ticksOf(Math.max(...all.map(({ most }) => most)));
  const bottom = PANEL.top + PANEL.height;
  const placeX = (x) => left + (x / xs.at(-1)) * PANEL.width;
  const placeY = (y) => bottom - (y / ys.at(-1)) * PANEL.height;
  const digits = (ticks) => (ticks[1] < 0.1 ? 2 : ticks[1] % 1 === 0 ? 0 : 1);
  return [
    text(left, PANEL.top - 14, axis, 'class="axis"'),
    ...ys.flatMap((y) => [
      line(left, placeY(y), left + PANEL.width, placeY(y), 'grid'),
      text(left - 8, placeY(y) + 4, number(y, digits(ys)), 'text-anchor="end"'),
    ]),
    ...xs.flatMap((x) => [
      line(placeX(x), bottom, placeX(x), bottom + 5, 'tick'), text(placeX(x), bottom + 20, number(x, digits(xs)), 'text-anchor="middle"'),
    ]),
    line(left, bottom, left + PANEL.width, bottom, 'tick'),
    text(left + PANEL.width / 2, bottom + 42, xAxis, 'text-anchor="middle" class="axis"'),
    ...series.flatMap((one, index) => drawSeries(one, index, placeX, placeY)),
  ];
}

const style = `
text { font: 12px system-ui, sans-serif; fill: #333 }
.title { font-size: 16px; font-weight: 600 }
.axis { font-size: 13px }
.background { fill: #fff }
.grid { stroke: #ddd }
.tick { stroke: #666 }
polyline { fill: none; stroke-width: 2 }
.spread { stroke-width: 1.5 }
.series-0 { stroke: #0b63c5; fill: #0b63c5 }
.series-1 { stroke: #b4460a; fill: #b4460a }
@media (prefers-color-scheme: dark) {
text { fill: #ddd }
.background { fill: #14171b }
.grid { stroke: #333a42 }
.tick { stroke: #99a }
.series-0 { stroke: #6db1ff; fill: #6db1ff }
.series-1 { stroke: #ff9d5c; fill: #ff9d5c }
}
`;

// panels: [{ y, series: [{ name, points: [{ x, median, least, most }] }] }], beside each other, with the same series.
export function plot({ title, description, x, panels }) {
  const names = panels[0].series.map(({ name }) => name);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}"`
      + ' role="img" aria-labelledby="title description">',
    `<title id="title">${escape(title)}</title>`,
    `<desc id="description">${escape(description)}</desc>`,
    `<style>${style}</style>`,
    `<rect class="background" width="${WIDTH}" height="${HEIGHT}"/>`,
    text(PANEL.left, 28, title, 'class="title"'),
    ...names.flatMap((name, index) => [
      `<g class="series-${index}">${mark(marks[index % marks.length], WIDTH - 250 + index * 120, 24)}</g>`,
      text(WIDTH - 240 + index * 120, 28, name),
    ]),
    ...panels.flatMap((panel, index) => drawPanel(panel, PANEL.left + index * PANEL.apart, x)),
    text(PANEL.left, HEIGHT - 12, description),
    '</svg>',
    '',
  ].join('\n');
}
