(() => {
  const sections = JSON.parse(document.getElementById("data").textContent);
  const tip = document.getElementById("tip");
  const two = (n) => String(n).padStart(2, "0");
  const clock = (s) => {
    const day = Math.floor(s / 86400);
    const rest = Math.floor(s) % 86400;
    const time = `${two(Math.floor(rest / 3600))}:${two(Math.floor((rest % 3600) / 60))}:${two(rest % 60)}`;
    return day > 0 ? `day ${day}, ${time}` : time;
  };
  const budget = (d, b, at) => [
    `${b.wanted[at].reduce((sum, one) => sum + one, 0)} connections of ${b.limit}`,
    ...d.names.map((name, one) => `${name} ${b.wanted[at][one]}`),
    `granted in all ${b.granted[at]}`,
  ];
  const lines = (d, id, at) => {
    if (id.startsWith("budget-")) return budget(d, d.budgets[Number(id.slice(7))], at);
    switch (id) {
      case "load": return [`load ${d.load[at]}/s`, `capacity ${d.capacity[at]}/s`];
      case "signal": return [`${d.signal}: ${d.value[at] ?? "?"}`, `${d.ready[at]} Ready`];
      case "connections": return d.perPod ? [`${d.existing[at] * d.perPod} connections`, `${d.existing[at]} pods`] : [];
      case "latency": return [`p99 ${d.latency[at]} ms`];
      case "replicas": return [
        `asked for ${d.replicas[at]}`, `Ready ${d.ready[at]}`, `the load needs ${d.demand[at]}`,
        d.ceiling[at] === null ? "" : `ceiling ${d.ceiling[at]}`,
      ];
      default: return [];
    }
  };
  const show = (text, x, y) => {
    tip.textContent = text;
    tip.style.display = "block";
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(8, y - box.height - 12) : y + 18}px`;
  };
  const hide = () => { tip.style.display = "none"; };
  const numbered = [...document.querySelectorAll("section.policy")];
  for (const figure of document.querySelectorAll("figure")) {
    const data = sections[numbered.indexOf(figure.closest("section.policy"))];
    const id = figure.dataset.chart;
    const moments = id.startsWith("budget-") ? data.budgets[Number(id.slice(7))].seconds : data.seconds;
    for (const svg of figure.querySelectorAll("svg")) {
      const view = svg.viewBox.baseVal;
      const left = Number(svg.dataset.left), right = Number(svg.dataset.right);
      const cross = svg.querySelector(".cross");
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect();
        const x = ((event.clientX - box.left) / box.width) * view.width;
        const share = (x - left) / (view.width - left - right);
        if (share < 0 || share > 1) { hide(); cross.style.visibility = "hidden"; return; }
        cross.setAttribute("x1", x); cross.setAttribute("x2", x);
        cross.setAttribute("y1", 10); cross.setAttribute("y2", view.height - 24);
        cross.style.visibility = "visible";
        if (event.target.classList.contains("event")) return;
        const seconds = share * data.span;
        let at = moments.findIndex((second) => second > seconds);
        at = at < 0 ? moments.length - 1 : Math.max(0, at - 1);
        if (at < 0) return;
        const found = lines(data, id, at).filter(Boolean);
        if (found.length) show([clock(id.startsWith("budget-") ? seconds : moments[at]), ...found].join("\n"), event.clientX, event.clientY);
      });
      svg.addEventListener("pointerleave", () => { hide(); cross.style.visibility = "hidden"; });
    }
  }
  for (const mark of document.querySelectorAll(".event")) {
    const title = mark.querySelector("title");
    const text = title.textContent;
    mark.setAttribute("aria-label", text);
    title.remove();
    const place = () => { const box = mark.getBoundingClientRect(); show(text, box.left, box.top); };
    mark.addEventListener("pointerenter", place);
    mark.addEventListener("focus", place);
    mark.addEventListener("pointerleave", hide);
    mark.addEventListener("blur", hide);
  }
  document.documentElement.dataset.points = sections.reduce((sum, section) => sum + section.seconds.length, 0);
})();
