import { Command } from "commander";
import { type PlatformOptions, portOption, postgresOption, untilStopped, withStack } from "./cli.ts";

const options = new Command("stack")
  .description(
    "Start the local platform without demo data, print how to reach it as one line of JSON, stay up.",
  )
  .addOption(postgresOption)
  .addOption(portOption())
  .parse()
  .opts<PlatformOptions>();

await withStack(options, async (stack, signal) => {
  console.log(JSON.stringify(stack.info));
  await untilStopped(signal);
});
