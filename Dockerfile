# docker build -t ser .
# docker run --rm -p 7860:7860 ser                                              the page, on http://localhost:7860
# docker run --rm -v "$PWD:/here:ro" -w /here ser ser predict clip.wav
# mkdir -p out && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/out:/data" ser sh -c "ser train --demo && ser viz --run demo"
FROM python:3.11-slim
WORKDIR /opt/ser
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
RUN pip install --no-cache-dir -e ".[app,formats]"
# Runs, caches and pictures lie in /data, which may be a volume of any user; the project itself is only read.
RUN mkdir /data && chmod 777 /data
ENV SER_HOME=/data HOME=/data PYTHONDONTWRITEBYTECODE=1
USER 1000
EXPOSE 7860
CMD ["ser", "app", "--host", "0.0.0.0", "--port", "7860"]
