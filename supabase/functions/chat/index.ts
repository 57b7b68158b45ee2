export default { fetch: () => new Response("chat") };
