/* Makes THREADS threads that exist at the same time and each make a call, and ends with code 4. */
#include <pthread.h>
#include <unistd.h>

static pthread_mutex_t closed = PTHREAD_MUTEX_INITIALIZER;

static void *work(void *unused) {
    getppid();
    pthread_mutex_lock(&closed);
    pthread_mutex_unlock(&closed);
    return unused;
}

int main(void) {
    static pthread_t threads[THREADS];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_mutex_lock(&closed);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], &small, work, 0)) return 1;
    pthread_mutex_unlock(&closed);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], 0);
    return 4;
}
