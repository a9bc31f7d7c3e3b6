// A completions server that is never the bottleneck: what every relay under test is put in front of.
//
// One thread on epoll, keep-alive, HTTP/1.1 with Content-Length. POST answers a fixed completion of
// about 0.6 kB, or, where the body says "stream":true, CHUNKS server-sent events, one write each, one
// every INTERVAL_US microseconds. Each chunk's text is "@" and 16 digits: the time of its write in
// microseconds of CLOCK_MONOTONIC, from which the load client computes how long the relay held it.
// GET answers counters as JSON; "aborted" are streams whose reader left before the end.
//
// Streams stand in a list ordered by the time of their next chunk. All have one interval, so a stream
// that wrote goes near the end: insertion from the end is short. Output that a socket does not take
// is kept, and the stream writes no further chunk until it has gone.
//
// cc -O2 -o mock_upstream mock_upstream.c      mock_upstream PORT [CHUNKS [INTERVAL_US]]
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

enum { EVENTS_MAX = 256, HEAD_MAX = 16384, WHOLE_MAX = 2048, CHUNK_MAX = 1024 };

typedef struct Connection {
  int fd;
  char *input, *output;
  size_t input_length, input_room, output_length, output_room;
  bool streaming, usage_asked;
  int chunks_left;
  long next_us;
  struct Connection *before, *after;  // neighbours in the list of streams
} Connection;

static int poll_fd, chunks_each = 100;
static long interval_us = 20000;
static Connection *first, *last;  // streams by next_us
static long requests, streams, finished, aborted, connections, bad;
static char whole[WHOLE_MAX];
static size_t whole_length;

static long now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

// The list of streams

static void list_add(Connection *c) {
  Connection *place = last;
  while (place && place->next_us > c->next_us) place = place->before;
  c->before = place;
  c->after = place ? place->after : first;
  if (c->after) c->after->before = c; else last = c;
  if (place) place->after = c; else first = c;
}

static void list_remove(Connection *c) {
  if (c->before) c->before->after = c->after; else first = c->after;
  if (c->after) c->after->before = c->before; else last = c->before;
}

static void stop_streaming(Connection *c) {
  c->streaming = false;
  list_remove(c);
}

// Writing

static void watch(Connection *c, unsigned events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static bool flush(Connection *c) {
  size_t done = 0;
  while (done < c->output_length) {
    ssize_t sent = send(c->fd, c->output + done, c->output_length - done, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent < 0) break;
    done += sent;
  }
  memmove(c->output, c->output + done, c->output_length - done);
  c->output_length -= done;
  return true;
}

static bool put(Connection *c, const char *data, size_t length) {
  if (c->output_length == 0) {
    ssize_t sent = send(c->fd, data, length, MSG_NOSIGNAL);
    if (sent == (ssize_t)length) return true;
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent > 0) data += sent, length -= sent;
    watch(c, EPOLLIN | EPOLLOUT);
  }
  while (c->output_room < c->output_length + length) {
    c->output_room = c->output_room ? 2 * c->output_room : 4096;
    c->output = realloc(c->output, c->output_room);
  }
  memcpy(c->output + c->output_length, data, length);
  c->output_length += length;
  return true;
}

static bool put_event(Connection *c, const char *json) {
  char text[CHUNK_MAX];
  int length = strlen("data: \n\n") + strlen(json);
  int size = snprintf(text, sizeof text, "%x\r\ndata: %s\n\n\r\n", length, json);
  return put(c, text, size);
}

// Answering

#define HEAD_OF_CHUNK                                                                      \
  "{\"id\":\"cmpl-mock\",\"object\":\"text_completion\",\"created\":1700000000,"            \
  "\"model\":\"up-model\",\"choices\":["

static bool next_chunk(Connection *c) {
  char json[CHUNK_MAX - 64];
  if (c->chunks_left > 0) {
    c->chunks_left--;
    const char *finish = c->chunks_left ? "null" : "\"stop\"";
    snprintf(json, sizeof json,
             HEAD_OF_CHUNK "{\"text\":\"@%016ld \",\"index\":0,\"logprobs\":null,"
                           "\"finish_reason\":%s}]%s}",
             now_us(), finish, c->usage_asked ? ",\"usage\":null" : "");
    return put_event(c, json);
  }
  stop_streaming(c);
  finished++;
  if (c->usage_asked) {
    snprintf(json, sizeof json,
             HEAD_OF_CHUNK "],\"usage\":{\"prompt_tokens\":250,\"completion_tokens\":%d,"
                           "\"total_tokens\":%d}}",
             chunks_each, 250 + chunks_each);
    if (!put_event(c, json)) return false;
  }
  return put_event(c, "[DONE]") && put(c, "0\r\n\r\n", 5);
}

static bool start_stream(Connection *c) {
  static const char head[] =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
      "Transfer-Encoding: chunked\r\n\r\n";
  streams++;
  c->streaming = true;
  c->chunks_left = chunks_each;
  c->next_us = now_us();
  list_add(c);
  return put(c, head, sizeof head - 1);
}

static bool tell_counters(Connection *c) {
  char json[512], text[768];
  int length = snprintf(json, sizeof json,
                        "{\"requests\":%ld,\"streams\":%ld,\"finished\":%ld,\"aborted\":%ld,"
                        "\"connections\":%ld,\"bad\":%ld}",
                        requests, streams, finished, aborted, connections, bad);
  int size = snprintf(text, sizeof text,
                      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                      "Content-Length: %d\r\n\r\n%s",
                      length, json);
  return put(c, text, size);
}

static bool contains(const char *body, size_t length, const char *part) {
  return memmem(body, length, part, strlen(part)) != NULL;
}

static bool answer(Connection *c, bool post, const char *body, size_t length) {
  if (!post) return tell_counters(c);
  requests++;
  if (!contains(body, length, "\"stream\":true") && !contains(body, length, "\"stream\": true"))
    return put(c, whole, whole_length);
  c->usage_asked = contains(body, length, "\"include_usage\":true") ||
                   contains(body, length, "\"include_usage\": true");
  return start_stream(c);
}

// Reading: true while the connection may live

static bool next_request(Connection *c, bool *complete) {
  *complete = false;
  char *end = memmem(c->input, c->input_length, "\r\n\r\n", 4);
  if (!end) return c->input_length < HEAD_MAX;
  size_t head = end - c->input + 4, body = 0;
  *end = 0;
  char *field = strcasestr(c->input, "\ncontent-length:");
  bool chunked = strcasestr(c->input, "\ntransfer-encoding:") != NULL;
  *end = '\r';
  if (chunked) return bad++, false;
  if (field) body = strtoul(field + 16, NULL, 10);
  if (c->input_length < head + body) return true;
  *complete = true;
  bool alive = answer(c, !memcmp(c->input, "POST", 4), c->input + head, body);
  c->input_length -= head + body;
  memmove(c->input, c->input + head + body, c->input_length);
  return alive;
}

static bool receive(Connection *c) {
  if (c->input_room - c->input_length < HEAD_MAX) {
    c->input_room = c->input_room ? 2 * c->input_room : 2 * HEAD_MAX;
    c->input = realloc(c->input, c->input_room + 1);
  }
  size_t room = c->input_room - c->input_length;
  ssize_t got = recv(c->fd, c->input + c->input_length, room, 0);
  if (got < 0) return errno == EAGAIN;
  if (got == 0) return false;
  c->input_length += got;
  c->input[c->input_length] = 0;
  bool alive = true, complete = true;
  while (alive && complete && !c->streaming) alive = next_request(c, &complete);
  return alive;
}

static void drop(Connection *c) {
  if (c->streaming) aborted++, stop_streaming(c);
  close(c->fd);
  free(c->input);
  free(c->output);
  free(c);
  connections--;
}

static void accept_all(int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    Connection *c = calloc(1, sizeof *c);
    c->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    connections++;
  }
}

static void serve_event(struct epoll_event *event) {
  Connection *c = event->data.ptr;
  bool alive = true;
  if (event->events & EPOLLOUT) {
    alive = flush(c);
    if (alive && c->output_length == 0) watch(c, EPOLLIN);
  }
  if (alive && (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))) alive = receive(c);
  if (!alive) drop(c);
}

static void write_due(void) {
  long now = now_us();
  while (first && first->next_us <= now) {
    Connection *c = first;
    list_remove(c);
    c->next_us = c->next_us + interval_us > now ? c->next_us + interval_us : now + 1;
    list_add(c);
    if (c->output_length == 0 && !next_chunk(c)) drop(c);
  }
}

static int wait_ms(void) {
  if (!first) return -1;
  long left = first->next_us - now_us();
  return left <= 0 ? 0 : (left + 999) / 1000;
}

static void make_whole(void) {
  char body[WHOLE_MAX / 2];
  int n = sprintf(body, HEAD_OF_CHUNK "{\"text\":\"");
  for (int word = 0; word < 40; word++) n += sprintf(body + n, " word%02d", word);
  n += sprintf(body + n,
               "\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}],"
               "\"usage\":{\"prompt_tokens\":250,\"completion_tokens\":80,\"total_tokens\":330,"
               "\"prompt_tokens_details\":{\"cached_tokens\":0}}}");
  whole_length = sprintf(whole,
                         "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                         "Content-Length: %d\r\n\r\n%s",
                         n, body);
}

static int listen_on(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) {
    perror("mock_upstream: listen");
    exit(1);
  }
  return listener;
}

int main(int count, char **words) {
  if (count < 2) return fprintf(stderr, "mock_upstream PORT [CHUNKS [INTERVAL_US]]\n"), 2;
  if (count > 2) chunks_each = atoi(words[2]);
  if (count > 3) interval_us = atol(words[3]);
  make_whole();
  int listener = listen_on(atoi(words[1]));
  poll_fd = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS_MAX];
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int ready = epoll_wait(poll_fd, events, EVENTS_MAX, wait_ms());
    for (int i = 0; i < ready; i++)
      if (events[i].data.ptr) serve_event(&events[i]); else accept_all(listener);
    write_due();
  }
}
