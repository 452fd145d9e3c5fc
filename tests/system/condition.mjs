// Waiting: always for a condition, never for a time. A deadline only turns a hang into a failure.
import { setTimeout as pause } from 'node:timers/promises';

// Sanitizer builds and slow machines need more patience: HOOKLATCH_PATIENCE multiplies every deadline.
export const patience = Number(process.env.HOOKLATCH_PATIENCE || 1);
export const DEADLINE_MS = 20_000;

// Calls `probe` until it returns something true, and returns that. `say` tells what was seen last when it never does.
export async function until(what, probe, { deadline = DEADLINE_MS, every = 20, say } = {}) {
  const end = performance.now() + deadline * patience;
  let wait = Math.min(every, 5);
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (performance.now() > end) {
      const seen = say ? await say() : '';
      throw new Error(`waited ${Math.round((deadline * patience) / 1000)} s in vain: ${what}${seen ? `\n${seen}` : ''}`);
    }
    await pause(wait);
    wait = Math.min(wait * 2, every);
  }
}

// The same for a promise that somebody else settles.
export async function within(what, promise, { deadline = DEADLINE_MS, say } = {}) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(async () => {
      const seen = say ? await say() : '';
      reject(new Error(`waited ${Math.round((deadline * patience) / 1000)} s in vain: ${what}${seen ? `\n${seen}` : ''}`));
    }, deadline * patience);
    timer.unref(); // whatever is waited for keeps the process alive
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Runs `work` over `items`, `width` at a time, in order of arrival; the results keep the order of the items.
export async function spread(items, width, work) {
  const results = new Array(items.length);
  let next = 0;
  const lane = async (number) => {
    for (;;) {
      const index = next++;
      if (index >= items.length) return;
      results[index] = await work(items[index], index, number);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, (_, number) => lane(number)));
  return results;
}
