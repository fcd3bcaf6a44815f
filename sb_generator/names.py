"""Names for the simulated world: competitions with their teams, and players. Real places and letters, invented matches.

The rule: only data, in a fixed order, because a seed's world depends on it.
"""
# ruff: noqa: RUF001  the letters that look like others are meant

from typing import Final

from msgspec import Struct


class League(Struct, frozen=True):
    """A competition and those who take part."""

    name: str
    category: str
    teams: tuple[str, ...]


def _teams(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


FOOTBALL: Final = (
    League(
        "Premier League",
        "England",
        _teams(
            "Arsenal, Aston Villa, Brentford, Brighton & Hove Albion, Chelsea, Crystal Palace, Everton, Fulham, Liverpool, Manchester City, Manchester United, Newcastle United, Nottingham Forest, Tottenham Hotspur, West Ham United, Wolverhampton Wanderers"
        ),
    ),
    League(
        "Süper Lig",
        "Türkiye",
        _teams(
            "Galatasaray, Fenerbahçe, Beşiktaş, Trabzonspor, Başakşehir, Kasımpaşa, Sivasspor, Konyaspor, Gaziantep, Çaykur Rizespor, Göztepe, Eyüpspor, Kayserispor, Alanyaspor, Antalyaspor, Bodrum"
        ),
    ),
    League(
        "LaLiga",
        "Spain",
        _teams(
            "Real Madrid, Barcelona, Atlético Madrid, Athletic Club, Real Sociedad, Villarreal, Real Betis, Sevilla, Valencia, Girona, Celta de Vigo, Osasuna, Mallorca, Deportivo Alavés, Leganés, Rayo Vallecano"
        ),
    ),
    League(
        "Bundesliga",
        "Germany",
        _teams(
            "Bayern München, Borussia Dortmund, Bayer 04 Leverkusen, RB Leipzig, VfB Stuttgart, Eintracht Frankfurt, SC Freiburg, TSG Hoffenheim, Werder Bremen, VfL Wolfsburg, 1. FC Köln, 1. FSV Mainz 05, FC Augsburg, Borussia Mönchengladbach"
        ),
    ),
    League(
        "Ekstraklasa",
        "Poland",
        _teams(
            "Legia Warszawa, Lech Poznań, Raków Częstochowa, Jagiellonia Białystok, Śląsk Wrocław, Górnik Zabrze, Pogoń Szczecin, Zagłębie Lubin, Cracovia, Widzew Łódź, Piast Gliwice, Korona Kielce"
        ),
    ),
    League(
        "Σούπερ Λιγκ",
        "Greece",
        _teams("Ολυμπιακός, Παναθηναϊκός, ΑΕΚ, ΠΑΟΚ, Άρης, Αστέρας Τρίπολης, ΟΦΗ, Ατρόμητος, Βόλος, Λαμία"),
    ),
    League(
        "Премьер-лига",
        "Kazakhstan",
        _teams("Астана, Кайрат, Ордабасы, Тобыл, Актобе, Шахтёр Караганда, Жетысу, Атырау, Кызылжар, Елимай"),
    ),
    League(
        "J1リーグ",
        "Japan",
        _teams(
            "横浜F・マリノス, 川崎フロンターレ, 鹿島アントラーズ, 浦和レッズ, ガンバ大阪, セレッソ大阪, サンフレッチェ広島, 名古屋グランパス, ヴィッセル神戸, FC東京"
        ),
    ),
    League(
        "K리그1",
        "Korea Republic",
        _teams("전북 현대, 울산 HD, FC 서울, 수원 FC, 포항 스틸러스, 대구 FC, 인천 유나이티드, 강원 FC"),
    ),
    League("دوري روشن", "Saudi Arabia", _teams("الهلال, النصر, الاتحاد, الأهلي, الشباب, التعاون, الفتح, الاتفاق")),
    League(
        "Liga Portugal",
        "Portugal",
        _teams(
            "Benfica, Porto, Sporting CP, Braga, Vitória de Guimarães, Boavista, Famalicão, Estoril Praia, Moreirense, Rio Ave"
        ),
    ),
    League(
        "Série A",
        "Brazil",
        _teams(
            "Flamengo, Palmeiras, São Paulo, Grêmio, Internacional, Atlético Mineiro, Fluminense, Botafogo, Cruzeiro, Bahia, Vasco da Gama, Fortaleza"
        ),
    ),
)
BASKETBALL: Final = (
    League(
        "NBA",
        "USA",
        _teams(
            "Boston Celtics, Brooklyn Nets, New York Knicks, Philadelphia 76ers, Toronto Raptors, Chicago Bulls, Cleveland Cavaliers, Detroit Pistons, Indiana Pacers, Milwaukee Bucks, Denver Nuggets, Dallas Mavericks, Los Angeles Lakers, Golden State Warriors, Phoenix Suns, San Antonio Spurs"
        ),
    ),
    League(
        "EuroLeague",
        "Europe",
        _teams(
            "Anadolu Efes, Fenerbahçe Beko, Real Madrid, FC Barcelona, Žalgiris Kaunas, Crvena zvezda, Partizan, Olimpia Milano, Virtus Bologna, AS Monaco, Maccabi Tel Aviv, Παναθηναϊκός, Ολυμπιακός, ALBA Berlin"
        ),
    ),
    League(
        "Türkiye Sigorta Basketbol Süper Ligi",
        "Türkiye",
        _teams("Galatasaray, Beşiktaş, Bahçeşehir Koleji, Türk Telekom, Karşıyaka, Darüşşafaka, Tofaş, Bursaspor"),
    ),
)
HOCKEY: Final = (
    League(
        "NHL",
        "USA",
        _teams(
            "Boston Bruins, Buffalo Sabres, Canadiens de Montréal, Toronto Maple Leafs, New York Rangers, Pittsburgh Penguins, Tampa Bay Lightning, Florida Panthers, Colorado Avalanche, Dallas Stars, Minnesota Wild, Vegas Golden Knights, Edmonton Oilers, Vancouver Canucks"
        ),
    ),
    League("Liiga", "Finland", _teams("HIFK, Jokerit, Kärpät, Tappara, Ilves, TPS, Ässät, Jukurit, KalPa, Lukko")),
    League(
        "Extraliga",
        "Czechia",
        _teams(
            "Sparta Praha, Dynamo Pardubice, Kometa Brno, Oceláři Třinec, Škoda Plzeň, Mountfield HK, Bílí Tygři Liberec, Vítkovice Ridera"
        ),
    ),
    League(
        "SHL", "Sweden", _teams("Frölunda, Färjestad, Skellefteå, Luleå, Växjö Lakers, Malmö Redhawks, Örebro, Brynäs")
    ),
)
TENNIS: Final = (
    League("Istanbul Open, Men", "ATP", ()),
    League("Wimbledon, Women", "WTA", ()),
    League("Roland-Garros, Men Doubles", "ATP Doubles", ()),
    League("Challenger İzmir, Men", "Challenger", ()),
    League("US Open, Women Doubles", "WTA Doubles", ()),
    League("ITF Łódź, Women", "ITF", ()),
)
LEAGUES: Final = {"football": FOOTBALL, "basketball": BASKETBALL, "hockey": HOCKEY, "tennis": TENNIS}
MEN: Final = _teams(
    "Çelikbilek A., İlkel C., Yılmaz M., Şahin O., Öztürk B., Güneş E., Novák T., Müller J., Kowalczyk Ł., García P., López R., O'Brien S., Søndergaard M., Þórsson G., Nguyễn V., Παπαδόπουλος Γ., Иванов Д., 田中 健, 이 준호, Björkman L., Dupont É., Costa J., Horváth Á., Petrović N., Ionescu Ș., De la Cruz M., Van den Berg K., Sørlie H."
)
WOMEN: Final = _teams(
    "Büyükakçay Ç., Sönmez Z., Aksu A., Özgen P., Eraydın B., Yıldız S., Nováková K., Müller A., Wiśniewska M., García C., Fernández L., O'Connor N., Sørensen C., Jónsdóttir H., Trần T., Σάκκαρη Α., Петрова Е., 佐藤 美咲, 김 수진, Björklund J., Lefèvre C., Silva B., Szabó D., Jovanović A., Popescu Ț., Di Marco S., Van der Meer I., Østby E."
)
