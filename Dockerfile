# SyNet on a processor: docker build -t synet . && docker run --rm -v "$PWD/runs:/work/runs" synet
# Without a command it runs the demo; any other comes behind: docker run ... synet profile katana-kqvga
FROM python:3.11-slim-bookworm

COPY . /src
# torch from its own index is the build without CUDA. yolov5 brings both builds of OpenCV; the one that
# needs no display goes last, as in the Makefile.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
        --constraint /src/constraints.txt '/src[export,images,report,sabre,ultralytics,yolov5]' \
    && pip install --no-cache-dir --no-deps --force-reinstall \
        --constraint /src/constraints.txt opencv-python-headless \
    && useradd --uid 1000 --create-home synet \
    && install -d -o synet /work/runs

USER 1000
WORKDIR /work
VOLUME /work/runs
ENTRYPOINT ["synet"]
CMD ["demo"]
