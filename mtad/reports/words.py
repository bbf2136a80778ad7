"""What a delivery report says to people, in English and Russian.

``{domain}`` is the recipient's, ``{host}`` the server that spoke. A cause is looked up by the
subject and detail of an enhanced status code (RFC 3463), whatever its class.
"""

from typing import Literal, NamedTuple

Lang = Literal["en", "ru", "both"]
"""What a sender wants to be told in."""
Language = Literal["en", "ru"]
What = Literal["failed", "delayed", "delivered", "relayed", "expanded"]
"""Actions of RFC 3464 2.3.3."""


class Said(NamedTuple):
    """The same in each language."""

    en: str
    ru: str

    def of(self, language: Language) -> str:
        """It in one of them."""
        return self.ru if language == "ru" else self.en


class Cause(NamedTuple):
    """Why a recipient could not be reached, and what the sender can do about it."""

    why: Said
    advice: Said


SUBJECT: dict[What, Said] = {
    "failed": Said("Not delivered", "Не доставлено"),
    "delayed": Said("Delayed", "Задерживается"),
    "delivered": Said("Delivered", "Доставлено"),
    "relayed": Said("Passed on", "Передано дальше"),
    "expanded": Said("Passed on to several", "Передано нескольким"),
}
NO_SUBJECT = Said("(no subject)", "(без темы)")

INTRODUCTION: dict[What, Said] = {
    "failed": Said(
        "Your message could not be delivered to the recipients named below, and we will not"
        " try again.",
        "Ваше письмо не удалось доставить получателям, названным ниже. Новых попыток не будет.",
    ),
    "delayed": Said(
        "Your message has not been delivered to the recipients named below yet. We keep trying;"
        " you need not send it again.",
        "Ваше письмо пока не удалось доставить получателям, названным ниже. Попытки"
        " продолжаются, отправлять его ещё раз не нужно.",
    ),
    "delivered": Said(
        "Your message was delivered to the recipients named below, as you asked to be told.",
        "Ваше письмо доставлено получателям, названным ниже. Вы просили об этом сообщить.",
    ),
    "relayed": Said(
        "Your message was taken by the next server for the recipients named below. That server"
        " does not report deliveries, so you may hear no more of it.",
        "Ваше письмо принял следующий сервер для получателей, названных ниже. Он не сообщает"
        " о доставке, других уведомлений может не быть.",
    ),
    "expanded": Said(
        "Your message was delivered to the addresses named below, which pass it on to several"
        " recipients. You will not be told about each of them.",
        "Ваше письмо доставлено по адресам, названным ниже, откуда оно расходится нескольким"
        " получателям. О каждом из них отдельно не сообщается.",
    ),
}
HELLO = Said("This is the mail server {hostname}.", "Это почтовый сервер {hostname}.")
INSTEAD = Said(
    "You get this report because the message has no sender who could be told.",
    "Вы получили этот отчёт, потому что у письма нет отправителя, которому можно сообщить.",
)
MESSAGE = Said(
    "  Subject: {subject}\n  Taken:   {arrived}\n  Number:  {number}",
    "  Тема:    {subject}\n  Принято: {arrived}\n  Номер:   {number}",
)
SAID = Said("The server {host} said:", "Сервер {host} ответил:")
OURS = Said("What was noted here:", "Что записано здесь:")
UNTIL = Said("We keep trying until {until}.", "Попытки продолжаются до {until}.")
GIVEN_UP = Said(
    "We tried again and again until the time for it was over.",
    "Попытки повторялись, пока не истёк отведённый срок.",
)
ALSO = Said("(you wrote to {original})", "(вы писали на {original})")
CUT = Said(
    "The message is large; its header alone is attached.",
    "Письмо большое, приложен только его заголовок.",
)

_ASK = Said(
    "Ask the recipient in another way, by telephone say, or try later.",
    "Свяжитесь с получателем другим способом, например по телефону, или попробуйте позже.",
)
_ADDRESS = Said(
    "Check the address for a typing mistake, or ask the recipient for the present one.",
    "Проверьте, нет ли в адресе опечатки, или узнайте у получателя действующий адрес.",
)
_ADMIN = Said(
    "Show this report to your mail administrator.",
    "Покажите этот отчёт администратору вашей почты.",
)
_SMALLER = Said(
    "Send less at once, or put the files where the recipient can fetch them.",
    "Отправьте меньше за один раз или выложите файлы туда, откуда получатель их заберёт.",
)

_NO_MAILBOX = Cause(
    Said("There is no such mailbox at {domain}.", "Такого ящика в {domain} нет."), _ADDRESS
)
_NO_DOMAIN = Cause(
    Said(
        "The domain {domain} does not exist or takes no mail.",
        "Домен {domain} не существует или не принимает почту.",
    ),
    _ADDRESS,
)
_SENDER = Cause(
    Said(
        "The other side does not accept your own address as a sender.",
        "Другая сторона не принимает ваш адрес как адрес отправителя.",
    ),
    _ADMIN,
)
_LARGE = Cause(
    Said(
        "The message is larger than the other side takes.",
        "Письмо больше, чем принимает другая сторона.",
    ),
    _SMALLER,
)
_BUSY = Cause(
    Said(
        "The server of {domain} cannot take mail at present.",
        "Сервер домена {domain} сейчас не может принимать почту.",
    ),
    _ASK,
)
_NO_ANSWER = Cause(
    Said(
        "The server of {domain} could not be reached, or the connection broke.",
        "С сервером домена {domain} не удалось связаться, или соединение оборвалось.",
    ),
    _ASK,
)
_DNS = Cause(
    Said(
        "It could not be found out where mail for {domain} goes (DNS).",
        "Не удалось узнать, куда отправлять почту для {domain} (DNS).",
    ),
    _ADDRESS,
)
_PROTOCOL = Cause(
    Said("The servers did not understand each other.", "Серверы не поняли друг друга."), _ADMIN
)
_CONTENT = Cause(
    Said(
        "The other side does not take a message of this form.",
        "Другая сторона не принимает письма такого вида.",
    ),
    Said(
        "Send it in another form, as plain text or a common kind of file.",
        "Отправьте его в другом виде: простым текстом или файлом обычного типа.",
    ),
)
_UTF8 = Cause(
    Said(
        "The other side does not know addresses in other than Latin letters.",
        "Другая сторона не понимает адресов не из латинских букв.",
    ),
    Said("Write to or from a Latin address.", "Используйте адреса из латинских букв."),
)
_POLICY = Cause(
    Said(
        "The other side refuses this message by its rules; often it was taken for spam.",
        "Другая сторона отвергла письмо по своим правилам; часто это значит, что оно принято"
        " за спам.",
    ),
    Said(
        "Ask the recipient to allow your address. If it happens often, show this report to"
        " your mail administrator.",
        "Попросите получателя разрешить ваш адрес. Если так бывает часто, покажите отчёт"
        " администратору вашей почты.",
    ),
)
_PROOF = Cause(
    Said(
        "The other side could not make sure that the message comes from your domain"
        " (SPF, DKIM, DMARC or reverse DNS).",
        "Другая сторона не смогла убедиться, что письмо пришло из вашего домена"
        " (SPF, DKIM, DMARC или обратная зона DNS).",
    ),
    _ADMIN,
)
_TLS = Cause(
    Said(
        "The message may only go over an encrypted connection, and none that can be trusted"
        " could be made.",
        "Письмо можно передать только по зашифрованному соединению, а надёжного установить не"
        " удалось.",
    ),
    _ADMIN,
)
_UNKNOWN = Cause(
    Said("The cause is known only by the words below.", "О причине известно лишь то, что ниже."),
    _ASK,
)

CAUSES: dict[str, Cause] = {
    "1.0": _NO_MAILBOX,
    "1.1": _NO_MAILBOX,
    "1.2": _NO_DOMAIN,
    "1.3": Cause(Said("The address is not well-formed.", "Адрес записан неправильно."), _ADDRESS),
    "1.4": Cause(
        Said(
            "The address fits more than one recipient.",
            "Адрес подходит больше чем одному получателю.",
        ),
        _ADDRESS,
    ),
    "1.6": Cause(
        Said("The mailbox has moved elsewhere.", "Ящик переехал в другое место."), _ADDRESS
    ),
    "1.7": _SENDER,
    "1.8": _SENDER,
    "1.10": _NO_DOMAIN,
    "2.0": _BUSY,
    "2.1": Cause(
        Said(
            "The mailbox exists but takes no mail: it is disabled.",
            "Ящик существует, но почту не принимает: он отключён.",
        ),
        _ASK,
    ),
    "2.2": Cause(
        Said("The recipient's mailbox is full.", "Ящик получателя переполнен."),
        Said(
            "Tell the recipient in another way, and send the message again when there is room.",
            "Сообщите об этом получателю другим способом и отправьте письмо, когда место появится.",
        ),
    ),
    "2.3": _LARGE,
    "3.0": _BUSY,
    "3.1": _BUSY,
    "3.2": _BUSY,
    "3.3": _CONTENT,
    "3.4": _LARGE,
    "3.5": _PROTOCOL,
    "4.0": _NO_ANSWER,
    "4.1": _NO_ANSWER,
    "4.2": _NO_ANSWER,
    "4.3": _DNS,
    "4.4": _DNS,
    "4.5": _BUSY,
    "4.6": Cause(
        Said(
            "The message goes round in a circle between servers.",
            "Письмо ходит между серверами по кругу.",
        ),
        _ADMIN,
    ),
    "4.7": _NO_ANSWER,
    "5.0": _PROTOCOL,
    "5.3": Cause(
        Said(
            "There are more recipients than the other side takes.",
            "Получателей больше, чем принимает другая сторона.",
        ),
        Said("Write to fewer at once.", "Отправьте меньшему числу получателей за раз."),
    ),
    "6.0": _CONTENT,
    "6.7": _UTF8,
    "6.8": _UTF8,
    "6.9": _UTF8,
    "6.10": _UTF8,
    "7.0": _POLICY,
    "7.4": _TLS,
    "7.5": _TLS,
    "7.8": Cause(
        Said(
            "The other side wants a login that we do not have.",
            "Другая сторона требует входа, которого у нас нет.",
        ),
        _ADMIN,
    ),
    "7.10": _TLS,
    "7.11": _TLS,
    "7.30": _TLS,
} | dict.fromkeys(("7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.29"), _PROOF)


def cause(status: str) -> Cause:
    """The cause an enhanced status code stands for; its subject's own where the detail is rare."""
    _, _, detail = status.partition(".")
    subject = detail.partition(".")[0]
    return CAUSES.get(detail) or CAUSES.get(f"{subject}.0") or _UNKNOWN
