export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** What an object looks like on the wire: functions, undefined and classes are gone. */
export function snapshot(object: object): JsonObject {
  return JSON.parse(JSON.stringify(object));
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * The `previous_attributes` of an event: what each changed key was before, null when it was not there. A nested object
 * holds only its changed keys, an array is given in whole. Undefined when nothing changed.
 */
export function previousAttributes(before: JsonObject, after: JsonObject): JsonObject | undefined {
  const previous: JsonObject = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [was, is] = [before[key], after[key]];
    if (isObject(was) && isObject(is)) {
      const nested = previousAttributes(was, is);
      if (nested) previous[key] = nested;
    } else if (JSON.stringify(was) !== JSON.stringify(is)) {
      previous[key] = was ?? null;
    }
  }
  return Object.keys(previous).length > 0 ? previous : undefined;
}
