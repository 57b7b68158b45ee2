// Run by Deno: serves every function of supabase/functions under its name, as the hosted edge runtime does.
const root = new URL("../../supabase/functions/", import.meta.url);

interface EdgeFunction {
  fetch(request: Request): Response | Promise<Response>;
}
const functions = new Map<string, EdgeFunction>();
for await (const entry of Deno.readDir(root)) {
  if (!entry.isDirectory || entry.name.startsWith("_")) continue;
  const module = await import(new URL(`${entry.name}/index.ts`, root).href);
  functions.set(entry.name, module.default);
}

export default {
  fetch(request: Request): Response | Promise<Response> {
    const name = new URL(request.url).pathname.split("/")[1] ?? "";
    const handler = functions.get(name);
    if (handler) return handler.fetch(request);
    const error = { code: "function_not_found", message: `There is no function named "${name}".` };
    return Response.json({ error }, { status: 404 });
  },
};
