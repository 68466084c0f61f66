# docker build -t ser .
# docker run --rm -v "$PWD/out:/home/ser" ser ser train --demo          (then: ser viz --run demo)
# docker run --rm -v "$PWD:/here" -w /here ser ser predict clip.wav
# docker run --rm -p 7860:7860 ser                                      the page, on http://localhost:7860
FROM python:3.11-slim
WORKDIR /opt/ser
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
RUN pip install --no-cache-dir -e ".[app,formats]"
# Runs, caches and pictures lie in this folder, which may be a volume; the project itself is only read.
RUN useradd --create-home ser
USER ser
ENV SER_HOME=/home/ser
EXPOSE 7860
CMD ["ser", "app", "--host", "0.0.0.0", "--port", "7860"]
