import type { TestProject } from "vitest/node";
import { type StackInfo, startStack } from "../../scripts/stack/stack.ts";

declare module "vitest" {
  interface ProvidedContext {
    stack: StackInfo;
  }
}

/** One platform for all integration tests; each makes users and tenants of its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const stack = await startStack({ port: 0 });
  project.provide("stack", stack.info);
  return stack.stop;
}
