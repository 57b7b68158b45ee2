import { projectCallers } from "../_shared/caller.ts";
import { ProjectEnv, readEnv } from "../_shared/env.ts";
import { withErrors } from "../_shared/http.ts";
import { createApi } from "./app.ts";

const { identify } = projectCallers(ProjectEnv.parse(readEnv()));
const app = createApi({ identify, now: () => new Date() });

export default { fetch: withErrors(async (request) => app.fetch(request)) };
