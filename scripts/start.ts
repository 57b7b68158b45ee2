import { Command } from "commander";
import pc from "picocolors";
import { renderReport } from "./demo/report.ts";
import { DEMO_USER, type DemoResult, runScenario } from "./demo/scenario.ts";
import { type PlatformOptions, portOption, postgresOption, untilStopped, withStack } from "./stack/cli.ts";
import type { StackInfo } from "./stack/stack.ts";

const options = new Command("start")
  .description("Start the platform, meter and enforce real traffic on it, show the result and stay up.")
  .addOption(postgresOption)
  .addOption(portOption())
  .parse()
  .opts<PlatformOptions>();

await withStack(options, async ({ info }, signal) => {
  const result = await runScenario(info, (line) => console.error(`${pc.green("✓")} ${line}`));
  console.log(page(info, result));
  await untilStopped(signal);
});

function page(info: StackInfo, { chat, denial, ...result }: DemoResult): string {
  const entry = (name: string, value: string) => `  ${pc.dim(name.padEnd(16))}${value}`;
  return `
${pc.bold("Meterbase is running.")} ${chat.sent} chat messages were sent over HTTP: ${chat.allowed} were answered and metered, the last was
refused before it reached the model: ${pc.italic(denial)}

${renderReport({ chat, denial, ...result })}
Imported events are history: they are metered, and take no quota.

${pc.bold("Where")}
${entry("API", info.url)}
${entry("publishable key", info.publishableKey)}
${entry("secret key", info.secretKey)}
${entry("database", info.databaseUrl)}
${entry("mailbox", `${info.mailboxUrl}/messages`)}
${entry("demo user", `${DEMO_USER.email} / ${DEMO_USER.password}`)}

${pc.bold("Try next")}
  Ask how much the tenants have left:
    ${pc.cyan(`curl -s '${info.url}/rest/v1/entitlements?select=metric,period,limit_value&limit=5' -H 'apikey: ${info.secretKey}'`)}
  Import a trace of your own (TIMESTAMP,ContextTokens,GeneratedTokens):
    ${pc.cyan(`npm run import -- trace.csv --url ${info.url}`)}
  Look inside:
    ${pc.cyan(`psql '${info.databaseUrl}' -c 'select * from tenants'`)}
  Run the tests:
    ${pc.cyan("npm test")}

Ctrl-C stops everything and removes the database.`;
}
