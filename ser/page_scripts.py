"""What runs in the browser: whether the page is dark and narrow, and the microphone as it is spoken into.

The browser itself holds the last seconds of the microphone and sends them once a second, so that none of it is lost
where answers take longer than that, and nothing of it is kept at the other end.
"""
# Replaces the last of the inputs by "dark narrow", "light wide" and so on.
LOOK = """(...given) => [...given.slice(0, -1), (document.body.classList.contains("dark") ? "dark" : "light") +
          (window.innerWidth < 640 ? " narrow" : " wide")]"""

# Asks for the microphone and holds the last SECONDS of it: 16 bits, one channel. Gives what went wrong, or "".
START = """async () => {
    try {
        if (!navigator.mediaDevices) throw "browsers give it to pages of this machine and of https alone";
        const stream = await navigator.mediaDevices.getUserMedia({audio: true});
        const context = new AudioContext(), node = context.createScriptProcessor(4096, 1, 1);
        const held = new Int16Array(SECONDS * context.sampleRate);
        let filled = 0;
        node.onaudioprocess = event => {
            const piece = event.inputBuffer.getChannelData(0).map(x => 32767 * Math.max(-1, Math.min(1, x)));
            held.copyWithin(0, piece.length);
            held.set(piece, held.length - piece.length);
            filled = Math.min(held.length, filled + piece.length);
        };
        context.createMediaStreamSource(stream).connect(node);
        node.connect(context.destination);
        window.heldSound = {
            read: () => {
                const bytes = new Uint8Array(held.slice(held.length - filled).buffer);
                let text = "";
                for (let k = 0; k < bytes.length; k += 8192)
                    text += String.fromCharCode(...bytes.subarray(k, k + 8192));
                return context.sampleRate + " " + btoa(text);
            },
            stop: () => { stream.getTracks().forEach(track => track.stop()); context.close(); },
        };
        return [""];
    } catch (problem) {
        return ["the microphone cannot be used: " + (problem.message || problem)];
    }
}"""

# Replaces the first of the inputs by what is held: "<rate in Hz> <base64>", or "".
READ = """(text, ...others) => [window.heldSound ? window.heldSound.read() : "", ...others]"""

STOP = """() => { if (window.heldSound) window.heldSound.stop(); window.heldSound = null; return []; }"""
