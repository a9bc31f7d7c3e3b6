// Load for one HTTP address, and a check of every answer: what it did not get whole counts as bad.
//
// One thread on epoll over CONNECTIONS keep-alive connections for SECONDS. RATE 0: closed loop, each
// connection asks again as soon as it has its answer. RATE > 0: open loop, requests are due at a
// fixed rate and latency counts from the moment a request was due, so a slow server cannot hide.
//
// An answer is good when its status is 200, its body has the announced length (or ends as chunked
// bodies end), and it says "text_completion". A stream must also have STAMPS stamps of the mock ("@"
// and 16 digits: the time of the write) and a [DONE]; each stamp's age when read is the lag.
// Prints one JSON object; times in microseconds, -1 where there was no sample.
//
// cc -O2 -o load_client load_client.c
// load_client PORT CONNECTIONS SECONDS RATE STAMPS REQUEST_FILE     (the file: one whole request)
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, READ_MAX = 65536, HEAD_MAX = 16384, CARRY_MAX = 20 };
// Answers under way at the end may take so long: 64 streams through the slowest relay do.
static const long GRACE_US = 30000000, WAIT_MAX_US = 10000, SAMPLES_MAX = 4000000;

typedef enum { HEAD, SIZED, SIZE_LINE, CHUNK, CHUNK_END, TRAILER, DONE } Part;

typedef struct {
  int fd;
  bool busy, ok, done_seen, object_seen;
  Part part;
  char head[HEAD_MAX + 1];
  size_t head_length;
  unsigned long left;  // bytes of the body or of the chunk
  char line[32];
  size_t line_length;
  char carry[CARRY_MAX];  // the end of the text seen so far: a stamp may be cut in two
  size_t carry_length;
  long due_us, stamps;
} Connection;

typedef struct {
  int *values;
  long count;
} Samples;

static int poll_fd, port, connection_count;
static long stamps_wanted, good, bad, lost, chunks;
static char *request;
static size_t request_length;
static Connection *all;
static Samples latency, first_byte, lag;
static char first_bad[512];

static long now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static void sample(Samples *samples, long value) {
  if (samples->count < SAMPLES_MAX) samples->values[samples->count++] = value;
}

static void note_bad(Connection *c, const char *why) {
  bad++;
  if (!first_bad[0]) snprintf(first_bad, sizeof first_bad, "%s: %.300s", why, c->head);
}

// Connections

static void reconnect(Connection *c) {
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(c->fd, (void *)&address, sizeof address)) {
    perror("load_client: connect");
    exit(1);
  }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void ask(Connection *c, long due_us) {
  if (c->fd < 0) reconnect(c);
  c->busy = c->ok = true;
  c->done_seen = c->object_seen = false;
  c->part = HEAD;
  c->head_length = c->carry_length = c->line_length = 0;
  c->stamps = 0;
  c->due_us = due_us;
  for (size_t done = 0; done < request_length;) {
    ssize_t sent = send(c->fd, request + done, request_length - done, MSG_NOSIGNAL);
    if (sent < 0) break;  // the reader will see the end of the connection
    done += sent;
  }
}

// What the body says

static void look(Connection *c, const char *data, size_t length) {
  static char text[CARRY_MAX + READ_MAX];
  memcpy(text, c->carry, c->carry_length);
  memcpy(text + c->carry_length, data, length);
  size_t size = c->carry_length + length;
  char *place = text, *end = text + size, *used = text;
  if (memmem(text, size, "text_completion", 15)) c->object_seen = true;
  if (memmem(text, size, "data: [DONE]", 12)) c->done_seen = true;
  long now = now_us();
  while ((place = memchr(place, '@', end - place)) && end - place > 17) {
    char after = place[17];
    place[17] = 0;
    sample(&lag, now - atol(place + 1));
    place[17] = after;
    c->stamps++;
    chunks++;
    place += 17;
    used = place;
  }
  size_t keep = end - used;
  if (keep > CARRY_MAX) keep = CARRY_MAX;
  memcpy(c->carry, end - keep, keep);
  c->carry_length = keep;
}

// Reading an answer: each step takes some bytes and returns how many

static size_t take_head(Connection *c, const char *data, size_t length) {
  size_t before = c->head_length, room = HEAD_MAX - before;
  size_t taken = length < room ? length : room;
  memcpy(c->head + before, data, taken);
  c->head_length += taken;
  c->head[c->head_length] = 0;
  char *end = strstr(c->head, "\r\n\r\n");
  if (!end) {
    if (taken == room) c->ok = false, c->part = DONE;
    return taken;
  }
  end[2] = 0;
  c->ok = !memcmp(c->head, "HTTP/1.1 200", 12);
  char *field = strcasestr(c->head, "\ncontent-length:");
  c->left = field ? strtoul(field + 16, NULL, 10) : 0;
  bool chunked = strcasestr(c->head, "\ntransfer-encoding: chunked") != NULL;
  c->part = chunked ? SIZE_LINE : c->left ? SIZED : DONE;
  sample(&first_byte, now_us() - c->due_us);
  return end - c->head + 4 - before;
}

static size_t take_line(Connection *c, const char *data, size_t length) {
  char *end = memchr(data, '\n', length);
  size_t taken = end ? (size_t)(end - data + 1) : length;
  size_t kept = taken < sizeof c->line - 1 - c->line_length ? taken
                                                            : sizeof c->line - 1 - c->line_length;
  memcpy(c->line + c->line_length, data, kept);
  c->line_length += kept;
  if (!end) return taken;
  c->line[c->line_length] = 0;
  if (c->part == SIZE_LINE) {
    c->left = strtoul(c->line, NULL, 16);
    c->part = c->left ? CHUNK : TRAILER;
  } else if (c->part == CHUNK_END) {
    c->part = SIZE_LINE;
  } else if (c->line[0] == '\r') {
    c->part = DONE;
  }
  c->line_length = 0;
  return taken;
}

static size_t take_body(Connection *c, const char *data, size_t length) {
  size_t taken = length < c->left ? length : c->left;
  look(c, data, taken);
  c->left -= taken;
  if (c->left == 0) c->part = c->part == SIZED ? DONE : CHUNK_END;
  return taken;
}

static void finish(Connection *c) {
  bool whole = c->object_seen && c->stamps == stamps_wanted;
  if (stamps_wanted) whole = whole && c->done_seen;
  if (c->ok && whole) good++, sample(&latency, now_us() - c->due_us);
  else note_bad(c, c->ok ? "not whole" : "not 200");
  c->busy = false;
  if (strcasestr(c->head, "\nconnection: close")) close(c->fd), c->fd = -1;
}

static void take(Connection *c, const char *data, size_t length) {
  while (length && c->part != DONE) {
    size_t taken;
    if (c->part == HEAD) taken = take_head(c, data, length);
    else if (c->part == SIZED || c->part == CHUNK) taken = take_body(c, data, length);
    else taken = take_line(c, data, length);
    data += taken;
    length -= taken;
  }
  if (c->part == DONE) finish(c);
}

static void readable(Connection *c) {
  static char data[READ_MAX];
  ssize_t got = recv(c->fd, data, sizeof data, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    if (c->busy) lost++, note_bad(c, "cut off");
    c->busy = false;
    close(c->fd);
    c->fd = -1;
  } else if (c->busy) {
    take(c, data, got);
  }
}

// The load

static int busy_connections(void) {
  int busy = 0;
  for (int i = 0; i < connection_count; i++) busy += all[i].busy;
  return busy;
}

static Connection *idle_connection(void) {
  for (int i = 0; i < connection_count; i++)
    if (!all[i].busy) return &all[i];
  return NULL;
}

// Microseconds until the next request is due; -1 when only an answer can free a connection.
static long ask_what_is_due(long started_us, double rate) {
  static long asked;
  for (Connection *c; (c = idle_connection());) {
    long now = now_us(), due = rate > 0 ? started_us + (long)(asked * 1e6 / rate) : now;
    if (due > now) return due - now;
    asked++;
    ask(c, due);
  }
  return -1;
}

static void run(double seconds, double rate) {
  struct epoll_event events[EVENTS_MAX];
  long started = now_us(), end = started + (long)(seconds * 1e6);
  for (long now = started; now < end || busy_connections(); now = now_us()) {
    if (now > end + GRACE_US) break;
    long wait_us = now < end ? ask_what_is_due(started, rate) : -1;
    if (wait_us < 0 || wait_us > WAIT_MAX_US) wait_us = WAIT_MAX_US;
    struct timespec wait = {.tv_nsec = wait_us * 1000};
    int ready = epoll_pwait2(poll_fd, events, EVENTS_MAX, &wait, NULL);
    for (int i = 0; i < ready; i++) readable(events[i].data.ptr);
  }
  for (int i = 0; i < connection_count; i++)
    if (all[i].busy) note_bad(&all[i], "no end");
}

// The report

static int by_value(const void *one, const void *other) {
  int left = *(const int *)one, right = *(const int *)other;
  return (left > right) - (left < right);
}

static void tell(const char *name, Samples *samples) {
  static const double parts[] = {0.5, 0.9, 0.99, 0.999};
  static const char *const names[] = {"p50", "p90", "p99", "p999"};
  qsort(samples->values, samples->count, sizeof *samples->values, by_value);
  printf(",\"%s\":{", name);
  for (int i = 0; i < 4; i++) {
    long place = samples->count * parts[i];
    printf("\"%s\":%d,", names[i], samples->count ? samples->values[place] : -1);
  }
  printf("\"max\":%d}", samples->count ? samples->values[samples->count - 1] : -1);
}

static void read_request(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) perror(path), exit(1);
  fseek(file, 0, SEEK_END);
  request_length = ftell(file);
  rewind(file);
  request = malloc(request_length);
  if (fread(request, 1, request_length, file) != request_length) perror(path), exit(1);
  fclose(file);
}

int main(int count, char **words) {
  if (count != 7)
    return fprintf(stderr, "load_client PORT CONNECTIONS SECONDS RATE STAMPS REQUEST_FILE\n"), 2;
  port = atoi(words[1]);
  connection_count = atoi(words[2]);
  stamps_wanted = atol(words[5]);
  read_request(words[6]);
  Samples *each[] = {&latency, &first_byte, &lag};
  for (int i = 0; i < 3; i++) each[i]->values = malloc(SAMPLES_MAX * sizeof(int));
  poll_fd = epoll_create1(0);
  all = calloc(connection_count, sizeof *all);
  for (int i = 0; i < connection_count; i++) reconnect(&all[i]);
  long started = now_us();
  run(atof(words[3]), atof(words[4]));
  double took = (now_us() - started) / 1e6;
  printf("{\"good\":%ld,\"bad\":%ld,\"lost\":%ld,\"chunks\":%ld,\"seconds\":%.3f,\"per_second\":%.1f",
         good, bad, lost, chunks, took, good / took);
  tell("latency_us", &latency);
  tell("first_byte_us", &first_byte);
  tell("lag_us", &lag);
  printf("}\n");
  if (first_bad[0]) fprintf(stderr, "first bad answer: %s\n", first_bad);
  return 0;
}
