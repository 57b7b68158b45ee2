import { type Json, type JsonObject, snapshot } from "./changes.ts";
import { invalid } from "./errors.ts";
import { INCLUDED_ON_REQUEST, type State } from "./state.ts";

/**
 * The answer to a request: the object rendered, with what the `expand` paths name (`latest_invoice.payments`,
 * `data.customer`) put in place of ids or added.
 */
export function answer(state: State, object: object, paths: string[]): Json {
  const rendered = isList(object)
    ? { ...snapshot(object), data: object.data.map((item) => state.render(item)) }
    : state.render(object);
  for (const path of paths) expandPath(state, rendered, path.split("."), path);
  return rendered;
}

const isList = (object: object): object is { object: "list"; data: object[] } =>
  "object" in object && object.object === "list";

function expandPath(state: State, node: Json, segments: string[], path: string): void {
  const [key, ...rest] = segments;
  if (key === undefined) return;
  if (Array.isArray(node)) {
    for (const member of node) expandPath(state, member, segments, path);
    return;
  }
  if (node === null || typeof node !== "object") return;
  if (INCLUDED_ON_REQUEST[String(node.object)]?.includes(key)) node[key] = included(state, node, key);
  const value = node[key];
  if (value === undefined) throw invalid(`This property cannot be expanded (${path}).`, "expand[0]");
  if (typeof value === "string") {
    const found = state.find(value);
    if (!found) throw invalid(`This property cannot be expanded (${path}).`, "expand[0]");
    node[key] = state.render(found);
  }
  expandPath(state, node[key] ?? null, rest, path);
}

function included(state: State, node: JsonObject, key: string): Json {
  const full = snapshot(state.find(String(node.id)) ?? {});
  return full[key] ?? null;
}
