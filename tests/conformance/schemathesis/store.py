"""A metric store that has every metric: one series for each query, so that what is asked through the API is answered.

Prints its address, and answers as Prometheus does until it is ended.
"""

import http.server
import json
import urllib.parse


class Store(http.server.BaseHTTPRequestHandler):
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        query = urllib.parse.urlsplit(self.path).query or self.rfile.read(length).decode()
        asked = dict(urllib.parse.parse_qsl(query))
        if "start" in asked and "end" in asked and "step" in asked:
            start, end, step = (float(asked[name]) for name in ("start", "end", "step"))
            points = min(int((end - start) / step) + 1, 11_000) if step > 0 else 0
            values = [[start + i * step, str(100 + i % 7)] for i in range(points)]
            data = {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}
        elif "/label/" in self.path:
            data = ["up", "http_requests_total"]
        else:
            data = {"resultType": "vector", "result": []}
        body = json.dumps({"status": "success", "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
