/* Memory that the C library itself keeps: results of time and locale functions. */
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int main(void)
{
  struct lconv *conventions = localeconv();
  char point = conventions->decimal_point[0];
  printf("%c %zu %zu %d\n", point, strlen(conventions->decimal_point), strlen(conventions->thousands_sep),
         conventions->frac_digits == CHAR_MAX);
  char *currency = localeconv()->currency_symbol;
  printf("%d %d\n", currency[0], localeconv()->decimal_point == conventions->decimal_point);
  char *locale = setlocale(LC_ALL, NULL);
  printf("%c%s\n", locale[0], locale + 1);
  printf("%s\n", setlocale(LC_ALL, "C"));

  time_t when = 1700000000;
  struct tm *now = gmtime(&when), kept = *now;
  printf("%d-%02d-%02d %02d:%02d:%02d %d %d\n", now->tm_year + 1900, now->tm_mon + 1, now->tm_mday, now->tm_hour,
         now->tm_min, now->tm_sec, now->tm_wday, now->tm_yday);
  when += 86400;
  printf("%d\n", gmtime(&when)->tm_mday - kept.tm_mday);
  char *text = asctime(&kept);
  printf("%c %s", text[0], text);
  struct tm *local = localtime(&when);
  time_t back = mktime(local);
  printf("%d %zu %d\n", local->tm_year, strlen(ctime(&when)), back == when);
  char buffer[40];
  size_t length = strftime(buffer, sizeof buffer, "%Y/%m/%d %j", &kept);
  printf("%zu %s\n", length, buffer);
  printf("%d %d\n", strsignal(SIGABRT)[0] != 0, nl_langinfo(RADIXCHAR)[0]);
  return 0;
}
