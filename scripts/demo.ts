import { Command } from "commander";
import { renderReport } from "./demo/report.ts";
import { runScenario } from "./demo/scenario.ts";
import { type PlatformOptions, portOption, postgresOption, withStack } from "./stack/cli.ts";

const options = new Command("demo")
  .description("Start the platform, run the demo on it, print the result and end.")
  .addOption(postgresOption)
  .addOption(portOption(0))
  .option("--json", "print one JSON object instead of a table")
  .parse()
  .opts<PlatformOptions & { json?: boolean }>();

await withStack(options, async ({ info }) => {
  const result = await runScenario(info, (line) => console.error(`✓ ${line}`));
  const { denial: _, usage: __, ...summary } = result;
  console.log(options.json ? JSON.stringify(summary) : renderReport(result));
});
