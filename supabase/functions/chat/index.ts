import { createRpc } from "../_shared/database.ts";
import { ChatEnv, ProjectEnv } from "../_shared/env.ts";
import { withErrors } from "../_shared/http.ts";
import { handleChat } from "./handler.ts";
import { openAiModel } from "./model.ts";

const env = Object.fromEntries(Object.entries(Deno.env.toObject()).filter(([, value]) => value !== ""));
const project = ProjectEnv.parse(env);
const settings = ChatEnv.parse(env);
const model = openAiModel(settings);

export default {
  fetch: withErrors((request) =>
    handleChat(request, {
      rpc: (token) => createRpc(project.url, project.publishableKey, token),
      model,
      settings: { ...settings, stallMs: 60_000 },
      now: () => new Date(),
      newId: () => crypto.randomUUID(),
    }),
  ),
};
