"""The vocabulary that captions are written in and prompts are read with, English and Chinese.

One table a language: attribute -> value -> role in a sentence -> phrases. `captions` picks phrases by role; `prompts`
takes every phrase of every role as a word for that value. The role "also" holds words that are only read.
"""

from __future__ import annotations

from typing import Any

ACTIVITIES: tuple[str, ...] = (
    "standing", "looking around", "walking", "running", "sneaking", "jumping", "falling", "climbing", "swimming",
    "digging", "building",
)  # fmt: skip
TERRAINS: tuple[str, ...] = ("flat", "hills", "cliffs")
ANY = "any"  # stands for "buildings" and "animals", which name no kind

Roles = dict[str, tuple[str, ...]]
Table = dict[str, dict[Any, Roles]]

ENGLISH: Table = {
    "biome": {
        "meadow": {
            "noun": ("meadow", "grassy meadow", "green meadow", "grassland", "grassy plain", "green field"),
            "also": ("meadows", "grasslands", "grassy", "prairie", "fields", "field", "grass"),
        },
        "forest": {
            "noun": ("forest", "woodland", "leafy forest", "dense forest"),
            "also": ("forests", "woods", "forested", "jungle"),
        },
        "desert": {
            "noun": ("desert", "sandy desert", "sandy plain", "dry desert", "expanse of sand"),
            "also": ("deserts", "sandy", "sand", "dunes", "sand dunes"),
        },
        "snow": {
            "noun": ("snowy plain", "snow-covered plain", "snowfield", "snowy land", "frozen plain", "snowy field"),
            "also": ("snow", "snowy", "snow-covered", "snowfields", "tundra", "frozen", "icy"),
        },
        "islands": {
            "noun": ("islands", "small islands", "group of islands", "archipelago", "scattered islands"),
            "also": ("island",),
        },
    },
    "time": {
        "dawn": {
            "when": ("at dawn", "at sunrise", "at daybreak", "at first light", "in the early morning"),
            "noun": ("dawn", "sunrise", "daybreak", "early morning"),
            "also": ("morning",),
        },
        "day": {
            "when": ("by day", "during the day", "in the daytime", "in broad daylight", "at midday", "at noon"),
            "noun": ("day", "daytime", "daylight", "midday"),
            "also": ("afternoon",),
        },
        "dusk": {
            "when": ("at dusk", "at sunset", "in the evening", "at nightfall", "at twilight"),
            "noun": ("dusk", "sunset", "evening", "twilight"),
        },
        "night": {
            "when": ("at night", "by moonlight", "in the moonlight", "at nighttime", "in the middle of the night"),
            "noun": ("night", "nighttime", "a moonlit night", "moonlight"),
            "also": ("midnight", "moonlit", "starry night", "nights"),
        },
    },
    "weather": {
        "clear": {
            "how": ("under a clear sky", "in clear weather", "under a cloudless sky", "in fine weather"),
            "noun": ("clear sky", "clear weather", "fine weather"),
            "clause": ("the sky is clear", "the weather is clear", "the weather is fine"),
            "also": ("clear", "cloudless", "sunny", "sunshine", "blue sky", "clear skies"),
        },
        "rain": {
            "adjective": ("rainy", "rain-soaked", "rain-swept"),
            "how": ("in the rain", "in steady rain", "in rainy weather", "under falling rain"),
            "noun": ("rain", "rainfall", "rainy weather", "steady rain"),
            "clause": ("it is raining", "rain is falling", "rain falls"),
            "also": ("raining", "rains", "drizzle", "rain falling", "heavy rain", "downpour"),
        },
        "snowfall": {
            "adjective": ("snow-swept",),
            "how": ("in falling snow", "during snowfall", "in a snow shower"),
            "noun": ("snowfall", "falling snow", "snow showers"),
            "clause": ("it is snowing", "snow is falling", "snow falls"),
            "also": ("snows", "snow falling", "snowstorm", "blizzard", "snowflakes", "heavy snow"),
        },
        "fog": {
            "adjective": ("foggy", "misty"),
            "how": ("in fog", "in thick fog", "in the mist", "in foggy weather"),
            "noun": ("fog", "mist", "thick fog", "foggy weather"),
            "clause": ("it is foggy", "fog hangs in the air", "mist covers the land"),
            "also": ("haze", "hazy", "dense fog", "thick mist"),
        },
    },
    "terrain": {
        "flat": {
            "adjective": ("flat", "level"),
            "clause": ("the ground is flat", "the land is level", "it is flat here"),
            "also": ("flat land", "flat ground", "flatland"),
        },
        "hills": {
            "adjective": ("hilly", "rolling"),
            "clause": ("the land is hilly", "there are hills", "there are rolling hills"),
            "also": ("hill", "hilltop"),
        },
        "cliffs": {
            "adjective": ("rugged", "craggy"),
            "clause": ("there are cliffs", "there are steep cliffs", "the land is rugged"),
            "also": ("cliff", "steep", "mountains", "mountainous", "mountain"),
        },
    },
    "structure": {
        "hut": {
            "noun": ("hut", "small hut", "cabin", "little house", "wooden hut"),
            "also": ("huts", "house", "houses", "cottage", "cabins", "home"),
        },
        "tower": {"noun": ("tower", "stone tower", "tall tower", "high tower"), "also": ("towers", "castle")},
        "wall": {"noun": ("wall", "stone wall", "long wall", "old wall"), "also": ("walls", "ruin", "ruins")},
        ANY: {"none": ("buildings", "structures"), "also": ("a building", "structure", "houses or towers")},
    },
    "water": {
        True: {
            "noun": ("water", "open water", "some water"),
            "none": ("water",),
            "also": ("lake", "a lake", "lakes", "pond", "ponds", "river", "rivers", "sea", "ocean", "stream"),
        },
        False: {"also": ("waterless",)},
    },
    "trees": {
        True: {
            "noun": ("trees", "some trees", "a few trees"),
            "none": ("trees",),
            "also": ("tree", "wooded", "tall trees"),
        },
        False: {"also": ("treeless",)},
    },
    "animals": {
        "sheep": {"one": ("sheep",), "noun": ("sheep",), "also": ("lamb", "lambs")},
        "pig": {"one": ("pig",), "noun": ("pigs",), "also": ("piglet", "piglets")},
        "cow": {"one": ("cow",), "noun": ("cows",), "also": ("cattle",)},
        "chicken": {"one": ("chicken", "hen"), "noun": ("chickens", "hens")},
        ANY: {"none": ("animals", "living creatures"), "also": ("animal", "livestock", "creatures", "wildlife")},
    },
    "activity": {
        "standing": {"verb": ("standing", "standing still", "waiting"), "also": ("stand still",)},
        "looking around": {"verb": ("looking around", "turning around"), "also": ("look around", "turning")},
        "walking": {"verb": ("walking", "strolling", "walking along"), "also": ("walk", "walks", "wandering about")},
        "running": {"verb": ("running", "running along"), "also": ("run", "runs", "sprinting")},
        "sneaking": {"verb": ("sneaking", "creeping"), "also": ("sneak", "sneaks")},
        "jumping": {"verb": ("jumping", "hopping", "leaping"), "also": ("jump", "jumps")},
        "falling": {"verb": ("falling", "falling down", "dropping down")},
        "climbing": {"verb": ("climbing", "climbing up"), "also": ("climb", "climbs")},
        "swimming": {"verb": ("swimming",), "also": ("swim", "swims")},
        "digging": {"verb": ("digging", "mining", "breaking blocks"), "also": ("dig", "digs", "mine", "mines")},
        "building": {"verb": ("building", "placing blocks"), "also": ("build", "builds", "constructing")},
    },
}  # fmt: skip

CHINESE: Table = {
    "biome": {
        "meadow": {"noun": ("草原", "草地", "草甸", "绿草地"), "also": ("大草原", "牧场", "田野")},
        "forest": {"noun": ("森林", "树林", "林地", "密林"), "also": ("丛林", "林间")},
        "desert": {"noun": ("沙漠", "荒漠", "沙地"), "also": ("沙丘", "大漠")},
        "snow": {"noun": ("雪原", "雪地", "冰原", "积雪的平原"), "also": ("雪野", "冰雪", "雪景")},
        "islands": {"noun": ("群岛", "海岛", "岛屿", "小岛"), "also": ("岛",)},
    },
    "time": {
        "dawn": {"noun": ("黎明", "清晨", "日出时分", "拂晓"), "also": ("日出", "早晨", "早上", "凌晨")},
        "day": {"noun": ("白天", "白昼", "日间", "正午"), "also": ("中午", "下午", "白日")},
        "dusk": {"noun": ("黄昏", "傍晚", "日落时分"), "also": ("日落", "夕阳", "暮色")},
        "night": {"noun": ("夜晚", "夜里", "深夜", "月夜"), "also": ("夜间", "夜", "晚上", "午夜", "月光", "夜色")},
    },
    "weather": {
        "clear": {
            "adjective": ("晴朗", "天气晴朗"),
            "noun": ("晴天", "晴空"),
            "clause": ("天气晴朗", "天空晴朗", "万里无云"),
            "also": ("晴", "阳光明媚", "阳光", "蓝天", "天晴"),
        },
        "rain": {
            "adjective": ("下雨", "下着雨", "阴雨"),
            "noun": ("雨天", "雨中", "小雨"),
            "clause": ("下着雨", "正在下雨", "雨水落下"),
            "also": ("雨", "大雨", "细雨", "暴雨", "多雨"),
        },
        "snowfall": {
            "adjective": ("下雪", "飘雪", "下着雪"),
            "noun": ("降雪", "飘雪", "下雪天"),
            "clause": ("下着雪", "正在下雪", "雪花飘落"),
            "also": ("大雪", "雪花", "小雪", "雪天", "暴风雪", "雪花纷飞"),
        },
        "fog": {
            "adjective": ("有雾", "起雾", "雾蒙蒙"),
            "noun": ("雾天", "大雾", "浓雾"),
            "clause": ("有雾", "雾气弥漫", "起了大雾"),
            "also": ("雾", "薄雾", "雾气", "雾中"),
        },
    },
    "terrain": {
        "flat": {"adjective": ("平坦", "地势平坦"), "clause": ("地势平坦", "地面平坦"), "also": ("平地", "平整")},
        "hills": {
            "adjective": ("起伏", "多山丘"),
            "clause": ("地势起伏", "丘陵起伏", "有山丘"),
            "also": ("丘陵", "山丘", "小山", "山坡", "山"),
        },
        "cliffs": {
            "adjective": ("陡峭", "多悬崖"),
            "clause": ("有悬崖", "悬崖陡峭", "地势陡峭"),
            "also": ("悬崖", "峭壁", "高山"),
        },
    },
    "structure": {
        "hut": {"noun": ("一座小屋", "一间小屋", "一间木屋"), "also": ("小屋", "木屋", "房子", "屋子", "房屋", "茅屋")},
        "tower": {"noun": ("一座塔", "一座高塔", "一座石塔"), "also": ("塔", "高塔", "石塔", "塔楼", "城堡")},
        "wall": {"noun": ("一堵墙", "一面墙", "一道石墙"), "also": ("墙", "石墙", "围墙", "城墙", "废墟")},
        ANY: {"none": ("建筑", "建筑物"), "also": ("一座建筑",)},
    },
    "water": {
        True: {
            "noun": ("水", "水面", "一片水域"),
            "none": ("水",),
            "also": ("水域", "湖", "湖水", "湖泊", "池塘", "河", "河流", "河水", "海", "大海", "海水"),
        },
    },
    "trees": {True: {"noun": ("树", "几棵树", "一些树木"), "none": ("树", "树木"), "also": ("大树", "树丛")}},
    "animals": {
        "sheep": {"noun": ("羊", "绵羊"), "also": ("小羊", "羊群")},
        "pig": {"noun": ("猪", "小猪")},
        "cow": {"noun": ("牛", "奶牛"), "also": ("母牛", "牛群")},
        "chicken": {"noun": ("鸡", "母鸡"), "also": ("小鸡", "鸡群")},
        ANY: {"none": ("动物",), "also": ("牲畜", "生物")},
    },
    "activity": {
        "standing": {"verb": ("站着", "站立", "停留"), "also": ("站",)},
        "looking around": {"verb": ("环顾四周", "四处张望"), "also": ("张望", "环顾")},
        "walking": {"verb": ("行走", "走路", "散步"), "also": ("走", "走着", "步行", "漫步")},
        "running": {"verb": ("奔跑", "跑步"), "also": ("跑", "跑着")},
        "sneaking": {"verb": ("潜行", "蹲着走"), "also": ("潜行着",)},
        "jumping": {"verb": ("跳跃", "跳"), "also": ("跳着", "蹦跳")},
        "falling": {"verb": ("坠落", "往下掉"), "also": ("下落", "掉落")},
        "climbing": {"verb": ("攀爬", "往上爬"), "also": ("爬", "爬山", "攀登")},
        "swimming": {"verb": ("游泳",), "also": ("游", "游着")},
        "digging": {"verb": ("挖掘", "挖方块"), "also": ("挖", "挖着", "挖矿", "采矿")},
        "building": {"verb": ("建造", "放置方块", "搭建"), "also": ("造", "建房", "盖房子")},
    },
}  # fmt: skip

LANGUAGES: dict[str, Table] = {"en": ENGLISH, "zh": CHINESE}

# Words that say how many. A vague word stands for the number beside it, and captions use it for exactly that number.
ENGLISH_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
CHINESE_DIGITS = "零一二三四五六七八九"
ENGLISH_VAGUE = {"a pair of": 2, "a couple of": 2, "some": 3, "a few": 3, "several": 4, "many": 6}
CHINESE_VAGUE = {"几": 3, "一些": 3, "好几": 4, "许多": 6}
VAGUE_ALSO = {
    "a couple": 2, "couple of": 2, "pair of": 2, "few": 3, "a group of": 4, "a herd of": 5, "a flock of": 5,
    "herd of": 5, "flock of": 5, "a lot of": 6, "lots of": 6,
    "一对": 2, "好些": 3, "一群": 5, "很多": 6, "大量": 6,
}  # fmt: skip

NEGATIONS = frozenset(
    ("no", "without", "without any", "not", "not any", "neither", "lacking",
     "没有", "没", "无", "不", "不见", "看不到", "没有任何")
)  # fmt: skip
# After a negated word these carry the negation on: "without trees or water", "没有树和水".
ALTERNATIVES = frozenset(["or", "nor", "和", "或", "或者", "与", "跟", "及"])
# These end it: "no trees and two sheep".
JOINERS = frozenset(["and", "with", "but", "plus", "但", "还有", "以及", "而", "并", "只有"])
# Words that decide only where nothing else in the prompt does: the plain of "a snowy plain" is no meadow.
WEAK: dict[str, tuple[str, Any]] = {
    "plain": ("biome", "meadow"), "plains": ("biome", "meadow"), "平原": ("biome", "meadow"),
}  # fmt: skip

# Words that carry no attribute of their own.
_ENGLISH_FILLERS = """
the this that these it it's its there there's here place where which who is are has have can be being also too very
in at on over under by near of to from into onto along across through among around above off during while as for
see seen visible view sight scene picture image video clip landscape world land ground terrain sky weather air time
nearby close beside behind front next far away distance background foreground blocks block minecraft style
stand stands lie lies stretch stretches grow grows graze grazing wander wandering roam roaming
player someone person somebody character you we i they first-person perspective please show make generate create let me
"""
_CHINESE_FILLERS = """
这里 那里 此处 附近 旁边 远处 近处 前方 周围 四周 时分 时候 天气 天空 天上 地势 地面 此时 现在 正在 可以 看到 看见
能看到 可以看到 可见 玩家 有人 一个人 我们 画面 世界 风景 视野 场景 方块 之中 一片 一座 一个 一间 一堵 一面 一道 一棵
吃草 游荡 闲逛 矗立着 生长着 长着 视角 第一人称
"""
FILLERS = frozenset(
    _ENGLISH_FILLERS.split()
    + _CHINESE_FILLERS.split()
    + list("的了着在有里上中下边旁是这那也又还我他人正个只头片座间堵面道棵处时从到请让能可")
)
