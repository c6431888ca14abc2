// A browser starts no worker from a page on a disk. There, this runs the worker's script in a hidden frame instead.
// It replaces a script that the site would load from a network. The search has not been seen to finish loading this way.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.onmessage = null;
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inner = (this.inner = frame.contentWindow);
      const load = (address) =>
        new Promise((resolve, reject) => {
          const script = inner.document.createElement("script");
          script.onload = resolve;
          script.onerror = () => reject(new Error(`cannot load ${address}`));
          script.src = new URL(address, new URL(url, location.href)).href;
          inner.document.body.append(script);
        });
      inner.importScripts = (...addresses) =>
        addresses.reduce((before, address) => before.then(() => load(address)), Promise.resolve());
      inner.postMessage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        if (this.onmessage) this.onmessage(event);
      };
      this.ready = load(url);
      this.frame = frame;
    }

    postMessage(data) {
      this.ready.then(() => {
        const event = new MessageEvent("message", { data });
        this.inner.dispatchEvent(event);
      });
    }

    terminate() {
      this.frame.remove();
    }
  };
}
