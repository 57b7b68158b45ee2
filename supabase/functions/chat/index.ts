import { projectCallers } from "../_shared/caller.ts";
import { ChatEnv, ProjectEnv, readEnv } from "../_shared/env.ts";
import { withErrors } from "../_shared/http.ts";
import { handleChat } from "./handler.ts";
import { openAiModel } from "./model.ts";

const env = readEnv();
const { identify, nobody } = projectCallers(ProjectEnv.parse(env));
const settings = ChatEnv.parse(env);
const model = openAiModel(settings);

export default {
  fetch: withErrors((request) =>
    handleChat(request, {
      identify,
      nobody: nobody.rpc,
      model,
      settings: { ...settings, stallMs: 60_000 },
      now: () => new Date(),
      newId: () => crypto.randomUUID(),
    }),
  ),
};
