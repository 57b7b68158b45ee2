import { html } from "hono/html";

type Html = ReturnType<typeof html>;

/** A page of the stand-in; what is put into `html` templates is escaped. */
export const page = (title: string, body: Html): Html => html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width" />
    <title>${title}</title>
    <style>
      body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem; color: #1a1f36; }
      h1 { font-size: 1.4rem; }
      dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; }
      dt { color: #697386; } dd { margin: 0; }
      form { display: inline-block; margin: 0 .5rem .5rem 0; }
      button { font: inherit; padding: .5rem 1rem; border: 1px solid #c1c9d2; border-radius: 6px; background: #fff; cursor: pointer; }
      button.main { background: #635bff; border-color: #635bff; color: #fff; }
      .problem { color: #b3093c; } .note { color: #697386; font-size: .85rem; }
    </style>
  </head>
  <body>
    ${body}
    <p class="note">A local stand-in for Stripe: no card is asked for and no money moves.</p>
  </body>
</html>`;

/** A list of terms, those without a value left out. */
export const terms = (entries: [string, string | null | undefined][]): Html => html`<dl>
  ${entries.flatMap(([term, value]) => (value ? [html`<dt>${term}</dt><dd>${value}</dd>`] : []))}
</dl>`;

/** A form of one button that posts the given fields to the page it stands on. */
export const button = (
  label: string,
  fields: Record<string, string>,
  main = false,
): Html => html`<form method="post">
  ${Object.entries(fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}
  <button class="${main ? "main" : ""}">${label}</button>
</form>`;
