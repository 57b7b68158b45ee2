import { createRpc } from "../_shared/database.ts";
import { ProjectEnv } from "../_shared/env.ts";
import { withErrors } from "../_shared/http.ts";
import { createApi } from "./app.ts";

const project = ProjectEnv.parse(Deno.env.toObject());
const app = createApi({
  rpc: (token) => createRpc(project.url, project.publishableKey, token),
  now: () => new Date(),
});

export default { fetch: withErrors(async (request) => app.fetch(request)) };
