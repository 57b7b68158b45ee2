export type FormValue = string | FormValue[] | { [key: string]: FormValue };
export type Form = { [key: string]: FormValue };

/**
 * Reads what Stripe's library sends in a body or query, `items[0][price]=p&metadata[a]=b&expand[]=c`, as nested objects
 * and arrays of strings. An object whose keys are all numbers, or empty, is an array.
 */
export function parseForm(encoded: string): Form {
  const root = new Map<string, unknown>();
  for (const [name, value] of new URLSearchParams(encoded)) {
    const [first = "", ...rest] = name.split("[").map((part) => part.replace(/\]$/, ""));
    let node = root;
    let key = first;
    for (const part of rest) {
      const next = node.get(key);
      const child = next instanceof Map ? next : new Map<string, unknown>();
      node.set(key, child);
      node = child;
      key = part === "" ? String(child.size) : part;
    }
    node.set(key, value);
  }
  return Object.fromEntries([...root].map(([key, value]) => [key, settle(value)]));
}

function settle(value: unknown): FormValue {
  if (!(value instanceof Map)) return String(value);
  const entries = [...value].map(([key, child]): [string, FormValue] => [String(key), settle(child)]);
  if (!entries.every(([key]) => /^\d+$/.test(key))) return Object.fromEntries(entries);
  return entries.sort(([a], [b]) => Number(a) - Number(b)).map(([, child]) => child);
}
