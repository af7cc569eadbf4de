SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tagsSorter: "alpha",
  // Nothing goes to servers on the internet.
  validatorUrl: null,
});
