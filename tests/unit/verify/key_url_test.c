#include "receiver/verify/key_url.h"

#include "receiver/verify/presets.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

struct row {
	struct span url;
	bool allowed;
};

static void
judge(const char *const *hosts, const char *ending, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		CHECK_ROW(key_url_allowed(edge_copy(0, rows[i].url), hosts, ending) ==
		                  rows[i].allowed,
		          "%s", check_quote(rows[i].url));
	}
}

static void
certificates_of_paypal_come_from_paypal(void)
{
	static const struct row rows[] = {
		{ TEXT("https://api.paypal.com/v1/notifications/certs/CERT-360caa42"), true },
		{ TEXT("https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1"), true },
		{ TEXT("https://a-b.9.paypal.com/x"), true },
		{ TEXT("https://api.paypal.com/"), true },
		{ TEXT("https://api.paypal.com/a//b/../c%2fd;e=1&f~'()"), true },
		/* another scheme, or none */
		{ TEXT("http://api.paypal.com/x"), false },
		{ TEXT("HTTPS://api.paypal.com/x"), false },
		{ TEXT("ftp://api.paypal.com/x"), false },
		{ TEXT("//api.paypal.com/x"), false },
		{ TEXT("api.paypal.com/x"), false },
		{ TEXT("https:api.paypal.com/x"), false },
		{ TEXT("https:/api.paypal.com/x"), false },
		{ TEXT("https:///api.paypal.com/x"), false },
		{ TEXT(" https://api.paypal.com/x"), false },
		{ TEXT("https://"), false },
		{ TEXT("https:"), false },
		{ TEXT(""), false },
		/* hosts that only look so */
		{ TEXT("https://evilpaypal.com/x"), false },
		{ TEXT("https://paypal.com/x"), false },
		{ TEXT("https://.paypal.com/x"), false },
		{ TEXT("https://api.paypal.com.evil.com/x"), false },
		{ TEXT("https://api.paypal.com.evil.example/cert.pem"), false },
		{ TEXT("https://evil.com/api.paypal.com/x"), false },
		{ TEXT("https://evil.com/.paypal.com/x"), false },
		{ TEXT("https://api.paypal.co/x"), false },
		{ TEXT("https://api.paypal.comm/x"), false },
		{ TEXT("https://api.paypal.com./x"), false },
		{ TEXT("https://API.paypal.com/x"), false },
		{ TEXT("https://api.PayPal.com/x"), false },
		{ TEXT("https://127.0.0.1/x"), false },
		{ TEXT("https://[::1]/x"), false },
		{ TEXT("https://localhost/x"), false },
		{ TEXT("https://a_b.paypal.com/x"), false },
		{ TEXT("https://\xc3\xa9.paypal.com/x"), false },
		{ TEXT("https://ap%69.paypal.com/x"), false },
		{ TEXT("https://a\0b.paypal.com/x"), false },
		/* userinfo and ports */
		{ TEXT("https://user@api.paypal.com/x"), false },
		{ TEXT("https://user:word@api.paypal.com/x"), false },
		{ TEXT("https://evil.com@api.paypal.com/x"), false },
		{ TEXT("https://api.paypal.com@evil.com/x"), false },
		{ TEXT("https://api.paypal.com:443/x"), false },
		{ TEXT("https://api.paypal.com:8443/x"), false },
		{ TEXT("https://api.paypal.com:/x"), false },
		{ TEXT("https://evil.com:80.paypal.com/x"), false },
		/* where the host ends is read in one way alone */
		{ TEXT("https://evil.com?.paypal.com/x"), false },
		{ TEXT("https://evil.com#.paypal.com/x"), false },
		{ TEXT("https://evil.com\\.paypal.com/x"), false },
		{ TEXT("https://evil.com\\@api.paypal.com/x"), false },
		{ TEXT("https://evil.com .paypal.com/x"), false },
		{ TEXT("https://evil.com\t.paypal.com/x"), false },
		{ TEXT("https://evil.com\n.paypal.com/x"), false },
		{ TEXT("https://evil.com,.paypal.com/x"), false },
		{ TEXT("https://evil.com;.paypal.com/x"), false },
		{ TEXT("https://*.paypal.com/x"), false },
		/* paths that two parsers may read differently */
		{ TEXT("https://api.paypal.com"), false },
		{ TEXT("https://api.paypal.com/a@evil.com"), false },
		{ TEXT("https://api.paypal.com/a\\b"), false },
		{ TEXT("https://api.paypal.com/a?b"), false },
		{ TEXT("https://api.paypal.com/a#b"), false },
		{ TEXT("https://api.paypal.com/a b"), false },
		{ TEXT("https://api.paypal.com/a\r\nHost: evil"), false },
		{ TEXT("https://api.paypal.com/a\0b"), false },
		{ TEXT("https://api.paypal.com/\x7f"), false },
		{ TEXT("https://api.paypal.com/\xc3\xa9"), false },
	};
	const struct scheme *scheme = &preset_find("paypal")->scheme;
	judge(scheme->certificate_hosts, scheme->certificate_ending, rows, COUNT(rows));
}

static void
certificates_of_sns_come_from_sns(void)
{
	static const struct row rows[] = {
		{ TEXT("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem"),
		  true },
		{ TEXT("https://sns.cn-north-1.amazonaws.com.cn/a.pem"), true },
		{ TEXT("https://sns.us-gov-west-1.amazonaws.com/a/b.pem"), true },
		{ TEXT("https://sns.us-east-1.amazonaws.com/.pem"), true },
		{ TEXT("http://sns.us-east-1.amazonaws.com/a.pem"), false },
		/* one label for the region */
		{ TEXT("https://sns.amazonaws.com/a.pem"), false },
		{ TEXT("https://sns..amazonaws.com/a.pem"), false },
		{ TEXT("https://sns.a.b.amazonaws.com/a.pem"), false },
		{ TEXT("https://sns.evil.com/.amazonaws.com/a.pem"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com.evil.com/a.pem"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com.evil.example/a.pem"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com.cn.evil.com/a.pem"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.comx/a.pem"), false },
		{ TEXT("https://evil-sns.us-east-1.amazonaws.com/a.pem"), false },
		{ TEXT("https://evil.sns.us-east-1.amazonaws.com/a.pem"), false },
		{ TEXT("https://s3.us-east-1.amazonaws.com/a.pem"), false },
		{ TEXT("https://bucket.s3.amazonaws.com/a.pem"), false },
		{ TEXT("https://sns.us-east-1.evil.com/amazonaws.com/a.pem"), false },
		{ TEXT("https://SNS.us-east-1.amazonaws.com/a.pem"), false },
		{ TEXT("https://sns.US-EAST-1.amazonaws.com/a.pem"), false },
		{ TEXT("https://sns.us_east.amazonaws.com/a.pem"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com:443/a.pem"), false },
		{ TEXT("https://x@sns.us-east-1.amazonaws.com/a.pem"), false },
		{ TEXT("https://sns.x@evil.amazonaws.com/a.pem"), false },
		/* the ending is the path's */
		{ TEXT("https://sns.us-east-1.amazonaws.com/a.crt"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com/a.PEM"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com/a.pem/"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com/a.pem?x"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com/a?x.pem"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com/a#.pem"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com/"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com"), false },
		{ TEXT("https://sns.us-east-1.amazonaws.com.pem"), false },
	};
	const struct scheme *scheme = &preset_find("aws-sns")->scheme;
	judge(scheme->certificate_hosts, scheme->certificate_ending, rows, COUNT(rows));
}

/* The page that a confirmation asks to visit: the same hosts, any path. */
static void
a_host_may_be_named_whole(void)
{
	static const char *const hosts[] = { "keys.example.com", "example.org", NULL };
	static const char *const none[] = { NULL };
	static const struct row rows[] = {
		{ TEXT("https://keys.example.com/a"), true },
		{ TEXT("https://example.org/a"), true },
		{ TEXT("https://example.com/a"), false },
		{ TEXT("https://a.keys.example.com/a"), false },
		{ TEXT("https://keys.example.comm/a"), false },
		{ TEXT("https://keys.example.co/a"), false },
		{ TEXT("https:///a"), false },
	};
	judge(hosts, NULL, rows, COUNT(rows));
	CHECK(!key_url_allowed(SPAN("https://example.org/a"), none, NULL));
	CHECK(!key_url_allowed((struct span){ 0 }, hosts, NULL));
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "certificates of PayPal come from PayPal",
		  certificates_of_paypal_come_from_paypal },
		{ "certificates of SNS come from SNS", certificates_of_sns_come_from_sns },
		{ "a host may be named whole", a_host_may_be_named_whole },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
