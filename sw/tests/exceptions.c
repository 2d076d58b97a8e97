/* A parser that gives up by longjmp from anywhere. */
#include <stdio.h>
#include <ctype.h>
#include <setjmp.h>

struct parser {
  const char *at;
  jmp_buf fail;
  const char *why;
};

static void fail(struct parser *p, const char *why)
{
  p->why = why;
  longjmp(p->fail, 1);
}

static int expression(struct parser *p);

static int factor(struct parser *p)
{
  while (isspace((unsigned char)*p->at))
    p->at++;
  if (*p->at == '(') {
    p->at++;
    int value = expression(p);
    if (*p->at != ')')
      fail(p, "missing )");
    p->at++;
    return value;
  }
  if (!isdigit((unsigned char)*p->at))
    fail(p, "not a number");
  int value = 0;
  while (isdigit((unsigned char)*p->at))
    value = 10 * value + *p->at++ - '0';
  return value;
}

static int term(struct parser *p)
{
  int value = factor(p);
  while (*p->at == '*' || *p->at == '/') {
    char which = *p->at++;
    int next = factor(p);
    if (which == '/' && next == 0)
      fail(p, "division by zero");
    value = which == '*' ? value * next : value / next;
  }
  return value;
}

static int expression(struct parser *p)
{
  int value = term(p);
  while (*p->at == '+' || *p->at == '-')
    value = *p->at++ == '+' ? value + term(p) : value - term(p);
  return value;
}

static void run(const char *text)
{
  struct parser p = {.at = text};
  if (setjmp(p.fail)) {
    printf("%s: %s\n", text, p.why);
    return;
  }
  printf("%s = %d\n", text, expression(&p));
}

int main(void)
{
  run("1+2*3");
  run("(1+2)*3");
  run("4/(2-2)");
  run("2*(3+");
  run("((7");
  run("100/5/2-1");
  return 0;
}
