"""Hand-written sentence patterns of the running example: training.

`make_support_triage.py` reads the text below. A section starts with `## kind split [label]`; a line is one
pattern, `fields | sentence`, and an indented line continues the one above.

- issue: the label is the queue. Fields: a tag that the product must carry (`any`, or `-` for no product), the
  asks that fit (m money_back, n new_item, r repair_visit, t trace_parcel, e explanation, c change_details; a
  capital: the sentence itself says so), the urgency, `+` where a sentence about needing the goods fits.
- ask: queues that it fits, or `all`. tone: `prob` where something must have gone wrong, `^` goes in front.
- p1: tag, then `own`, `wait` (goods not here yet) or `both`. p2: `need` the goods, or `gen` for any matter.
- time: words that do not change the urgency. decoy: a tag as in issue; a number that is no order id.
- side: a matter that is not the reason for writing; `-queue,queue` where it would confuse. ref: the order id.
"""

# product -> tags; "solid" is added to everything that is not "cloth"
BRIGHTWATER = {
    "kettle": "elec water steam",
    "toaster": "elec",
    "air fryer": "elec steam",
    "coffee machine": "elec water steam prog smart filter motor",
    "blender": "elec motor glass",
    "rice cooker": "elec steam prog",
    "hand mixer": "elec motor batt",
    "microwave": "elec door prog glass",
    "fridge": "elec cold door motor large",
    "freezer": "elec cold door motor large",
    "dishwasher": "elec water tap door prog motor filter large",
    "washing machine": "elec water tap door prog motor filter large",
    "tumble dryer": "elec door prog motor filter large",
    "space heater": "elec heat",
    "oil radiator": "elec heat",
    "fan heater": "elec heat motor",
    "dehumidifier": "elec air water motor filter",
    "humidifier": "elec air water motor filter",
    "air purifier": "elec air motor filter smart",
    "vacuum cleaner": "elec motor filter batt smart",
    "steam iron": "elec water steam",
    "desk lamp": "elec light",
    "floor lamp": "elec light glass smart",
    "ceiling light": "elec light glass smart",
    "night light": "elec light batt",
    "baby monitor": "elec baby infant batt smart",
    "bottle warmer": "elec baby infant water",
    "high chair": "baby crib furn",
    "cot": "baby infant crib furn wood large",
    "changing table": "baby crib furn case wood large",
    "armchair": "furn seat wood large",
    "bookcase": "furn case wood large",
    "bed frame": "furn seat wood large",
    "wardrobe": "furn case wood large",
    "dining table": "furn wood large",
    "office chair": "furn seat large",
    "sofa": "furn seat large",
    "shoe rack": "furn case wood",
    "mattress": "cloth bed large",
    "duvet": "cloth bed wash",
    "pillow": "cloth bed wash",
    "rug": "cloth large",
    "tablecloth": "cloth wash",
    "frying pan": "pan",
    "casserole dish": "pan glass",
    "knife block": "",
    "shower chair": "care seat furn",
    "bath lift": "care seat",
    "wall clock": "glass",
    "mirror": "glass large",
}
BRIGHTWATER_BRANDS = ["Norvik", "Halden", "Lumora", "Castell", "Tamsin", "Ostrea"]

PATTERNS = """
## issue train logistics
any tmne 3+ | The {p} from order {o} was due last {day} and has still not come.
any tmne 3+ | According to the tracking page my {p} was handed over on {day}, but nobody in this house has
    seen a parcel.
any tmn 3+ | I ordered a {p} {weeks} weeks ago. The status has said "on its way" ever since and nothing
    moves.
any tmn 3+ | Your driver left my {p} with a neighbour at number {small}, only there is no number {small} in
    our street.
any C 3 | My {p} is to be brought in the morning, but I work mornings. Please move the delivery of order {o}
    to an afternoon.
- C 3 | Order {o} is going to my old address. Please send that parcel to 14 Mill Lane instead, before it
    leaves the depot.
- C 3 | Could the parcel for order {o} go to a pick-up point rather than to my door? Nobody is at home
    during the day. Please change that for me.
any tme 3+ | The courier says my {p} was refused at the door. Nobody rang here, so nobody refused anything.
any tmn 3+ | Two boxes were announced and one came. The one with the {p} in it is missing.
- tme 3 | The tracking link for order {o} has shown the same depot for {weeks} weeks now.
any tmne 3+ | Still waiting for the {p}. You wrote it would take three days, that was {weeks} weeks ago.
any tmn 3+ | My {p} seems to have gone to somebody else. The delivery photo shows a red door and ours is
    white.
- tm 3 | I got a text that parcel {track} had been delivered at 10:40. I was in the garden at that time and
    no van stopped.
any tmn 3+ | The van with the {p} was in our road at noon, I saw it, and it drove off again without
    stopping.
any e 3+ | You moved the delivery date of my {p} a second time, now to {month}.
- te 3 | Order {o} went out on {day} as you told me. The courier's site does not know the parcel number at
    all.
any E 4 | No problem so far. I only wonder which courier will bring the {p} from order {o}.
- E 4 | Quick question about order {o}, which is to arrive next month: will the driver carry it upstairs or
    leave it at the kerb?
any tmn 3+ | Parcel not here. {p} ordered in {month}, promised for last {day}, no word since.
any tmne 3+ | My {p} was sent back to your warehouse as "address unknown", although the address on the label
    is right.
any tmn 3+ | The box for order {o} turned up open and empty. The {p} must have gone missing on the way.
any C 3 | We are still moving house, so please hold my {p} (order {o}) back and bring it in {month}.
any tmne 3+ | Nothing has arrived. The {p} ought to have been here {weeks} weeks ago.
any tmn 3+ | The delivery man put my {p} in the shed of a house two streets away, or so his note says. It is
    not there.
- tmne 3 | Order {o} is late and the last scan of the parcel is from {day}.
any C 3 | Please bring the {p} from order {o} to my office instead of my home. The parcel has not left yet,
    as far as I can see.
any tme 3+ | Your site says delivered. My hall is empty and no neighbour has the {p} either.
- E 4 | Purely out of curiosity, do you still use the green vans? Order {o} is on its way and all is well.

## issue train aftersales
any mne 3+ | I ordered a {p} and you sent me something else entirely.
large mne 3 | The {p} is much bigger than it looked on the site and it does not fit our room. I have not
    used it and want to send it back.
any mn 3 | I changed my mind about the colour of the {p}. It is still in its box.
furn N 3+ | I am putting the {p} together and four of the long bolts are not in the bag. Please send me the
    missing ones.
furn N 3+ | The {p} from order {o} came without the instructions and without the little bag of screws.
    Please post both to me.
elec N 3+ | There is no power cable in the box of the {p}. Please send the cable on.
any m 3 | My wife bought a {p} on the same day as I did, so now we have two. I would like to return one of
    them.
any mn 3+ | The {p} in my parcel is the grey one. On order {o} you can see that I chose blue.
any E 3 | I want to return the {p} from order {o} but there was no return label in the box. How do I go
    about it?
cloth mn 3 | The {p} feels nothing like the sample you posted me, it is rough and thin. I have put it back
    in the bag.
any m 3 | The {p} was a present and the person already has one. The box was never opened.
any mn 3+ | It says {p} on the delivery note. What I found in the box belongs to another customer.
case N 3+ | Two left side panels came with my {p} and no right one. I need the right panel posted, please.
pan mn 3+ | I asked for the 28 cm {p} and got the 20 cm one. See order {o}.
any m 3 | I do not need the {p} any more. The box is sealed and stands in my hall, ready to be picked up.
light N 3+ | The glass shade that belongs to the {p} is not in the box. Please post me the shade.
any mn 3+ | You sent the old version of the {p}, the page clearly showed the new one.
seat N 3 | The {p} is a bit too low for my mother. I would like to swap it for the taller version.
any E 4 | How many days do I have to send a {p} back if we do not like it? Mine came on {day}.
any m 3 | The page hung, and so I ordered the {p} twice by accident. One can go straight back.
any mn 3+ | Half of what I ordered under {n} is missing from the box. There should be a {p} in there too.
any mn 3+ | This is not my order: I wanted a {p}, and what you delivered is a different product.
any m 3 | I would like to give the {p} back. We simply do not want it, it is unused.
furn N 3+ | Some parts of the {p} were not packed: I count six screws and there should be ten. Please mail
    me four more.
elec N 3+ | The {p} arrived complete but for the plug adapter that your page promises. Please supply the
    adapter.
large N 3 | The {p} is too wide for our wall. Please exchange it for the narrow model, it is still wrapped.
any E 3 | We would like to hand the {p} back, it is not what we need. Where do we bring it and what do we
    have to fill in?
any mn 3+ | Wrong colour, wrong size: order {o} was for a small {p} and I got the giant one.

## issue train workshop
elec rnme 3+ | My {p} stopped working on {day}. It will not switch on whatever I try.
motor rnm 3+ | The {p} from order {o} makes a loud grinding noise and then stops after a minute.
prog rnm 3+ | The {p} shows error E{small} and the program does not start.
cold rnm 3+ | The {p} does not get cold any more. The light inside works and the motor hums.
furn rnm 3+ | One leg of the {p} came off when we moved it across the room. It has a clean crack right
    through.
elec rnme 3+ | After {months} months the {p} only works if I hold the button down.
filter E 4 | How do I clean the filter of the {p}? I cannot find it in the booklet.
smart E 4 | What does the blinking blue light on the {p} mean? It runs fine otherwise, I am just curious.
wood E 4 | Which oil do you recommend for the wood of the {p}? It still looks good, I would like to keep it
    so.
smart e 3+ | I have set up the {p} twice by the book and it never gets past the first step.
heat rnm 3+ | The {p} turns on but stays stone cold on every setting.
light rnm 3+ | The {p} flickers all evening. I tried three bulbs and two sockets.
solid nm 3+ | When I opened the box the {p} had a crack all the way down one side.
wash nm 3 | A seam on the {p} has come undone after the first wash at 30 degrees.
furn r 3+ | The {p} wobbles badly although all screws are tight. I think the frame is bent.
door rnm 3+ | The plastic latch on my {p} has snapped off, so it no longer shuts.
elec rme 3+ | The {p} switches itself off every ten minutes. Order {o}, bought in {month}.
pan nm 3 | The coating of the {p} is peeling off after {weeks} weeks of normal use.
crib rnm 3+ | The {p} we got from you is broken, the catch at the side does not hold any more.
filter rnme 3+ | My {p} runs, but the display says "filter" all the time, also with a new filter in.
care rnm 3+ | One of the rubber feet of the {p} has split, it slides on the tiles now and cannot be used.
elec rnm 3+ | {p} dead after a power cut. Fuse is fine. Bought under order {o}.
solid nm 3+ | I unpacked the {p} today and it is dented on one side, the dent goes quite deep.
smart E 3+ | The {p} will not pair with my phone. Is there a trick to it?
elec rnme 3+ | The {p} is broken. It was fine until {day} and now nothing lights up.
motor rnm 3+ | The {p} started to rattle last week, and today the motor gave up.
furn rnm 3+ | The joints of the {p} are coming apart, it creaks and leans over.
solid nm 3+ | My brand new {p} is scratched all over, I saw it as soon as the wrapping was off.
prog rnme 3+ | Halfway through, the {p} stops, flashes its lights and goes back to the start.
elec E 4 | Should I unplug the {p} when we go away for a month? It is fine, I ask only to be on the safe
    side.
cloth nm 3 | There is a hole in the {p} after normal use, threads are hanging out of it.
smart E 3+ | The {p} speaks German to me since I pressed a wrong button. How do I set it to English?
door rnm 3+ | The door of the {p} hangs on one hinge and will not stay shut.

## issue train billing
- me 3 | Order {o} was charged to my card twice on the same day.
any me 3 | You took {price} pounds for the {p}, but the price on the page was ten pounds lower.
- me 3 | The refund you promised me for order {o} has not arrived, it has been {weeks} weeks.
- e 3 | The invoice for order {o} shows an item that I never bought.
- me 2 | Every few days another {price} pounds goes off my card to you, the third time now, and I have
    ordered nothing since {month}.
- me 2 | Somebody has used my card in your shop. I do not know order {o} and the delivery town is not mine.
- C 3 | The invoice for order {o} is made out to my private name. Please change it to Marlow Dental Ltd.
- e 3 | My voucher for {small} pounds is refused at the checkout although it is valid until {month}.
any me 3 | I paid for next-day delivery of the {p} and it came after five days. The extra fee was {price}
    pounds.
- E 4 | A quick question for later: can I pay in three parts next time, and does that cost more?
- e 3 | My bank shows two amounts from you on {day} and I can only match one of them to an order.
any m 3 | The {p} I sent back was received by you on {day}, but the money is still not on my card.
- C 3 | Our VAT number is missing on the invoice for order {o}. Please add it and send us the corrected
    paper.
any me 3 | I bought the {p} in your sale with 20 percent off and the full price was taken.
- me 2 | I cancelled the yearly plan in {month}, and you still take {price} pounds from my bank each week.
- e 3 | I got a reminder to pay order {o}. I paid it on the first of the month by bank transfer.
- E 4 | Could you tell me some time whether gift cards can be used together with a discount code?
- m 3 | I returned everything from order {o} and got back only half of the sum.
- e 3 | There is a line "handling" over {price} pounds on my bill. What it is for, I cannot see.
any E 4 | Where can I download the invoice for the {p}? My tax office wants it.
- me 3 | The gift card I bought online never came by mail, but {price} pounds were taken for it.
- me 3 | A price match was agreed on the phone for order {o}, and the difference never reached me.
- me 3 | Order {o} has been debited twice, I see it on my statement.
any m 3 | No credit so far for the {p}, which I returned in {month} and which you have accepted.
- me 2 | Your company keeps taking {price} pounds from me every Friday, for something I never signed up for.
- me 2 | A thief has been paying with my card at your shop, my bank told me about order {o} this morning.
- C 3 | The bill for order {o} needs our company name on it, Ashby Paints, in place of mine. Please issue it
    again.
- e 3 | Why do I get a reminder over {price} pounds? Order {o} has been paid, I have the bank slip.
- e 3 | The discount code from your flyer does nothing at the checkout.
- E 4 | I was wondering whether you take cheques, or only cards. It is for next year.

## issue train accounts
- e 3 | I cannot log in. It says my e-mail address is not known, although you write to me at that very
    address.
- c 3 | I have a new e-mail address. The old one in my profile should give way to kim.doran@mailbox.example.
- C 4 | I get your newsletter three times a week. Please take me off the list.
- C 3 | Please delete my profile and all the data you hold on me. I have no open orders.
- e 3 | The link to set a new password never reaches me. I looked in the spam folder too.
- c 3 | We have moved. My customer profile should now show 3 Harbour Row, Penmouth.
- e 3 | I am locked out after three tries, and the code you text me is always refused.
- c 3 | My surname is spelt wrong in my profile, it should be Okafor with a k.
- e 3 | Since your new site went up, my old orders are gone from my profile.
- C 3 | There are two profiles in my name, one with my work e-mail. Please merge them and keep the private
    one.
- E 4 | How do I switch off the birthday mails without losing the order updates? It is a small thing.
- C 3 | The phone number you have on file belongs to my late father. Please remove it and use 07{d9}
    instead.
- E 3 | Which data have you stored about me? I ask for a copy under the privacy law.
- c 3 | My date of birth is wrong on my customer page and the field cannot be edited.
- C 4 | Please send the newsletter to my private address from now on rather than to the office. No big deal.
- e 3 | My points have vanished from my loyalty card since {day}, the page shows zero.
- c 3 | My daughter's name stands as the main name in our family profile. It ought to be mine, Ruth Adler.
- C 2 | Someone has got into my profile and has already ordered things in my name twice. Please lock it and
    reset the password.
- e 3 | The app throws me out as soon as I type my password. On the laptop the same password works.
- C 3 | Please stop saving my card details in my profile, delete the card that is in there.
- c 3 | The default delivery address in my profile keeps jumping back to the flat we left in {month}.
- C 4 | I would like to hear from you by post and not by e-mail in future. Please note it on my file.
- e 3 | My password is right and still the login page says no.
- e 3 | I never get the mail with the reset link, so I cannot sign in.
- C 4 | Too many offers in my inbox! I only mean that I do not wish to get them any more, so please
    unsubscribe me.
- C 3 | I want to close my profile. Please remove me and my data from your system.
- c 3 | My profile shows the address of my former house. It should read 8 Weaver Close, Tarnham.
- c 3 | I have married, and my profile still has my maiden name. It is Lucia Brand now.
- e 3 | My wish list and my saved purchases are missing when I open my customer page.
- C 2 | A stranger is logged in to my profile and is buying things right now. Please block it.

## issue train presales
any E 4+ | Do you have the {p} in stock, and how soon could it be with me?
furn E 4 | How wide is the {p}? The gap in our bedroom measures {cm} cm and I want to be sure before I
    order.
elec E 4 | Does the {p} work with a foreign plug, or would I have to buy an adapter?
motor E 4 | How loud is the {p}? It would stand next to the bedroom wall.
any E 4 | Will the {p} be in your spring sale? Then I would wait with ordering.
any E 4 | Is the {p} you show on page {small} also made in green?
furn E 4 | Can one person put the {p} together, or does it take two?
tap E 4 | Does the {p} come with the hose for the tap or do I have to get it separately?
any E 4 | I would like to buy the {p} for all three of our flats. Do you have that many, and is there a
    better price?
wash E 4 | Can the {p} be washed at 60 degrees? My boy has an allergy, so I ask before I buy.
any E 4 | What is the guarantee on the {p}, two years or five?
elec E 4 | How much power does the {p} use in an hour? I am comparing three of them.
pan E 4 | Is the {p} fit for induction? Your page does not say.
any E 4 | Between the cheap {p} and the dear one, what is the real difference? I am thinking of ordering.
any E 4+ | Your page says "back soon" for the {p}. When will that be?
baby E 4 | From what age can the {p} be used? We expect our first in {month}.
any E 4 | Do you deliver a {p} to the islands, and what would it cost?
cold E 4 | Would the {p} fit under a worktop of {cm} cm? I have not ordered yet.
light E 4 | Is the bulb part of the {p} or must I order it on top?
care E 4+ | What weight does the {p} carry? I want one for my mother and have to know before I buy.
any E 4 | Can I see the {p} somewhere before I order it, do you have a showroom?
- E 4 | Do you take old furniture away when you bring new things? It would decide whether I order from you.
air E 4 | For what size of room is the {p} meant? Mine has {small} square metres.
any E 4+ | Is the {p} available at the moment? I am thinking about buying one.
furn E 4 | What are the height and depth of the {p}? I want to buy it if it fits into our hall.
any E 4 | Which colours does the {p} come in, and are they all the same price?
elec E 4 | Would the {p} run in a caravan? I would order one if so.
any E 4+ | The {p} is sold out on your page. Do you expect more of them?
any E 4 | Before I decide on the {p}: how long is it under warranty?
- E 4 | Is there a branch near Bristol where I can look around before I order?

## issue train hazards
elec mnre 1 | Smoke came out of the {p} this morning when I switched it on. I pulled the plug at once.
elec mnre 1 | The {p} gave off sparks at the plug and the socket is black now.
elec mne 1 | I got an electric shock when I touched the side of the {p}.
seat mne 1 | The {p} collapsed under my husband yesterday and he hurt his back.
water mre 1 | Water is leaking from the {p} right onto the power strip below it.
baby mne 1 | A small plastic cap came off the {p} and our little girl had it in her mouth, she nearly choked
    on it.
heat mnre 1 | The cable of the {p} got so hot that it melted into the carpet.
pan mne 1 | The handle broke off the {p} full of hot oil and I have a burn on my arm.
elec mnre 1 | There is a smell of burning from the {p} from order {o}, even when it is turned off at the
    switch.
solid mne 1 | There was a metal splinter sticking out of the {p} and I cut my hand on it, it bled a lot.
case me 1 | The {p} tipped over on its own and only just missed our toddler.
light mnre 1 | The {p} popped, a flame shot out of the fitting and the ceiling is scorched.
cold mre 1 | There is a puddle under the {p}, it runs along the wall to the socket and I hear it crackle.
bed me 1 | My skin came up in blisters after one night with the {p}. The doctor says it is a chemical burn.
batt mnre 1 | The battery in the {p} swelled up and hissed, now there is an acrid smoke in the kitchen.
care mne 1 | The {p} gave way under my mother in the bathroom. She has a bruised hip and is at the hospital.
steam mnre 1 | The lid of the {p} flew off by itself and the steam scalded my son's hand.
elec mre 1 | Each time I start the {p}, I feel a tingle in my fingers like a weak electric shock. Order {o}.
baby me 1 | The {p} has a loose button that our baby can swallow. I found it in his fist.
elec mnre 1 | I found the {p} with its casing half melted, and the shelf above is charred.
glass mne 1 | The glass in the {p} shattered without anybody touching it, and my foot was cut.
water re 1 | The {p} leaks at the back, and the wet patch has reached the extension lead. Order {o}.
elec mnre 1 | There was a loud bang from the {p} and then smoke everywhere.
solid mne 1 | The edge of the {p} is as sharp as a knife and I cut my finger badly.
baby mne 1 | A screw came loose on the {p}, and my baby had it between her lips when I came in.
seat mne 1 | A leg of the {p} broke off while I sat on it and I hurt my knee in the fall.
elec mnre 1 | The plug of the {p} is scorched and the cable has begun to melt.
water mre 1 | Water drips from the {p} onto a live socket.
glass mne 1 | A shard of glass fell out of the {p} and cut my son's leg.

## ask train money_back
all | Please refund me.
all | I would like my money back, please.
all | Please pay the sum back to my card.
all | I am asking for a refund to the card I paid with.
all | What I want is the money back on my bank account.
all | Please return what I paid.
all | A refund is all I ask for.
all | Kindly credit me with the money.
all | I want a refund.
all | Please give me the money back.
all | I ask you to reimburse me.
all | Please send the payment back to me.
all | I want what I paid to be returned.
all | Please transfer the amount back.
all | It is the money that I want back.
all | I would prefer a refund to anything else.

## ask train new_item
all | Please send me a replacement.
aftersales | I would like to have the right one sent instead.
all | Please ship another one to me.
all | Could I have a new one?
workshop,hazards | I just want a working one in its place.
aftersales,workshop,hazards | Please arrange an exchange.
all | Send a fresh one out to me, please.
all | I would like another one, please.
all | Get me a new one, please.
aftersales,workshop,hazards | Please swap it.
aftersales,workshop,hazards | I would like to exchange it.
all | A replacement is what I need.
all | Please have a new one delivered to us.
all | I ask you to send it again, new.

## ask train repair_visit
all | Please send somebody to repair it.
all | Can a technician come by and look at it?
all | I would like to have it mended.
all | Please book me a visit from your engineer.
all | When could one of your repair people come?
workshop | I want to keep it, so please have it fixed.
all | Could you arrange for a repair at my home?
all | Please repair it.
all | I need someone to come here and fix it.
all | Could a mechanic see to it?
all | A repair would be enough for me.
all | Please send an engineer round to my place.
all | Please get it working again, a home visit would be best.

## ask train trace_parcel
all | Please find out where the parcel is.
all | Can you ask the courier where it has got to?
all | Please trace it for me.
all | I would like you to track the parcel down.
all | Where is it now? Please check with the carrier.
all | Please start a search for it with the delivery firm.
all | Could you look up where my delivery is stuck?
all | Please locate it.
all | I would like to know where it is now.
all | Please contact the carrier and find it.
all | Will you look for it, please?
all | Please make an inquiry about its whereabouts.
all | I ask you to chase the carrier.

## ask train explanation
all | Please tell me how this could happen.
all | Can you explain what is going on?
all | What should I do now?
all | I would like to know the reason.
all | Please let me know what went wrong.
all | Could you tell me what the next step is?
all | Please write me what this is about.
all | I would like an answer as to why.
all | Please explain this to me.
all | Can you clear this up for me?
all | I need to know how to go on from here.
all | Please tell me what to do.
all | I am only after an answer.
all | Why is that so?
all | Please advise me.

## ask train change_details
all | Please correct this in your records.
all | Could you change that for me?
all | Please update my details.
all | I would like this entry put right.
all | Please enter the right details on your side.
all | Please make this change.
all | Please put the new details on file.
all | The old entry has to be replaced.
all | Please alter this in your system.
all | I ask you to change the record.

## tone train furious
all | You useless lot cannot even pick up a phone!
all | ARE YOU ASLEEP OVER THERE?
prob | This is a bloody disgrace and you know it!
prob | My lawyer will be in touch if I hear nothing.
all | Idiots, the whole bunch of you!
prob | I will report you to the consumer office and to the papers.
all ^ | NOBODY ANSWERS ME!!! I have had it with you.
prob | You are thieves, plain and simple.
all | What kind of incompetent fools run this shop?
prob | I am LIVID. Never in my life have I been treated like this.
all | You people are a complete joke, shame on you!!
prob ^ | I have never dealt with such a pack of liars.
prob | If this is not settled I will take you to court.
all | Do you even READ what customers write, you clowns?
all | You are a pack of morons.
all | HOW HARD CAN IT BE???
prob | I have had enough of your lies, you cheats!
prob | The ombudsman will hear of this, and so will the press.
all | WAKE UP!!!
prob | My solicitor is already writing to you.
all | Stupid, stupid, stupid people.
prob | What a shameless bunch of crooks!
all | Is there anybody with a brain at your end?
prob | You ought to be ashamed, you dirty swindlers.
all | ANSWER ME, DAMN IT!
prob | Next I call the police on you frauds.
all | You are the dumbest company on earth!
prob | THIS IS THE WORST SHOP EVER!!!
all ^ | Listen, you blockheads.
prob | I will sue you, mark my words.

## tone train annoyed
prob | I am really not happy about this.
prob | To be honest, I expected better from you.
all | I have written twice already and had no reply, which is tiresome.
prob | This is a nuisance, I have better things to do.
all | Being kept on hold for forty minutes was no fun either.
prob | It is the second time something goes wrong with you, and I am getting tired of it.
all ^ | I am a little fed up, as your chat window keeps sending me in circles.
prob | Well done, really, you have outdone yourselves again.
prob | I find this rather poor.
all | Your help pages were no use at all, I am sorry to say.
prob | I am disappointed, as I used to recommend you.
prob | How lovely to spend my free evening on your mistakes.
all | It is irritating that nobody calls back.
prob | I am quite annoyed.
prob | That is really not good enough.
all | It takes forever to reach anybody at your company.
prob | Frankly, I am let down.
prob | Great, just what I needed this week.
all | Why must I write everything twice to you?
prob | I have to say this is frustrating.
prob | I will think twice before I order again.
all | I have searched your whole help section for nothing, and that is tiring.
prob | Congratulations, you have managed to spoil my day.
all | Your chat robot is no help and gets on my nerves.
prob | A bit more care would not hurt you.
prob | It is a pity that one always has to run after you.
all | Nobody got back to me last time, which I find impolite.
prob ^ | I am not pleased to have to write this.
all | Oh, what fun it is to talk to your machine for an hour.

## tone train friendly
all | Thank you so much for your help, you are always so kind.
all | I love your shop, by the way!
all ^ | I hope you are all having a lovely week.
all | The lady on the phone last time was a gem, do give her my best.
all | I know you are busy, so a big thank you in advance!
all | Keep up the good work, we are big fans of yours.
prob | These things happen, and I am sure we will sort it out together.
all ^ | First of all, many thanks for the friendly service you have always given us.
all | Thanks a million, have a wonderful day!
prob | No hard feelings at all, you have been great over the years.
all | It is always a pleasure to deal with you.
all | You are stars, thank you ever so much!
all | You are wonderful, thanks so much!
all | Lots of love to your team.
prob | Mistakes happen, please do not worry about it.
all | I am very grateful to you all.
all | My family adores your shop.
all ^ | Dear kind people, what a nice shop you have.
all | Please thank the nice young man who helped me last time.
prob | Do not feel bad about it, you have always been great to us.
all | Sunny greetings to all of you!
all | God bless you, and thanks a lot for all your work.
all | What a great crew you are, thank you!
prob | I am not cross at all, and I thank you warmly for looking after this.
all | It makes me happy to be your customer.
all | Hugs and thanks to the whole crew!
prob | Nobody is to blame, and I thank you with all my heart.
all | Sorry for the bother, and thank you, you dear people.

## p1 train
heat own | It is minus five outside and we have no other heating.
heat wait | Our boiler is out, it is freezing in here and we have nothing else to heat with this winter.
heat both | My grandmother sits in an unheated flat in the frost until this is solved.
cold own | My insulin has to stay cool and I have nowhere else to keep it.
cold wait | I need it for my insulin, which must be kept cool, and have nothing else.
cold both | My husband's medicine goes off if it is not chilled, so he depends on this.
infant own | Our newborn came home with a heart condition and we rely on it day and night.
infant wait | Our premature baby comes home from the ward and cannot be looked after without it.
infant both | We depend on it for our baby, who is ill and only {weeks} weeks old.
air own | My son has severe asthma and cannot breathe well at night without it.
air wait | My son has severe asthma and the doctor said he must have one in his room.
air both | I have a lung disease and depend on clean air at home.
care own | My mother cannot wash or get up without it, she depends on it every day.
care wait | My father cannot get up safely by himself since his stroke and depends on having it.
care both | My wife is disabled and has no other safe way to manage.
heat both | It is snowing, the flat is ice cold, and this would be the only warmth for my two small
    children.
cold both | My diabetes medicine must be kept cold, I cannot do without this.
infant both | Our baby stops breathing at times, and the doctors told us not to be a night without it.
air both | Without it I get asthma attacks that put me in hospital.
care both | My mother has no strength in her legs, and unless she has this the nurse cannot lift her.
care both | I have fallen twice in the bath, and since my operation I cannot manage without it.

## p2 train
need | We have guests coming on {day} and need it by then.
need | It is for a birthday this {day}.
need | I have to have it in the house by {day} at the latest.
need | We move into the flat in three days and cannot do without it.
need | It is a wedding present and the wedding is this weekend.
need | My tenants arrive the day after tomorrow and it has to be there.
gen | I leave for two months on {day}, so this has to be settled before.
gen | I need an answer by {day}.
gen | This must be done by tomorrow evening.
gen | I have an appointment about it on {day} and need it cleared up before then.
gen | It has to be sorted within the next four days, after that it is too late.
gen | The deadline for me is this {day}.
need | My parents visit us on {day} and we need it for that.
need | The party is in four days and we are counting on it.
need | It must be in place on {day}, when our lodger moves in.
gen | {day} is the last possible day for me.
gen | I have three days left, no more.
gen | By {day} it must be finished.
gen | I travel abroad on {day} and want it done before that.
gen | Please get it done by the end of this week.

## time train
all | There is no hurry from my side.
all | Please deal with it asap.
all | Take your time, I can wait.
all | I would be glad of a quick reply.
all | It need not be today or this month.
all | Urgent, please.
all | I am easy to reach in the evenings.
all | As soon as possible, please.
all | Whenever you have time.
all | Any time this year is fine.
all | Quickly, please.
all | This is extremely urgent to me.
all | No rush at all.

## decoy train
all | My customer number is {n5}.
all | You can ring me on 07{d9}.
all | I paid {price} pounds by card on {date}.
all | The invoice number is BW-{n4}/{n3}.
all | The tracking code is {track}.
elec | The label says model {model}.
all | My postcode is {postcode}.
all | I spoke to someone on {date}, ticket {n4}.
all | Customer no. {n5}.
all | The receipt shows {price} pounds and the date {date}.
all | My bank reference is {n4}-{n4}.
all | Your colleague gave me the case number {n5}.
elec | The type plate reads {model}.
all | Reach me under 07{d9}, please.

## side train
all | By the way, the page with the opening hours is out of date.
all | On another note, your catalogue reached us twice, not that it matters.
all | Besides, the music on your phone line is far too loud.
all | Apart from that, everything else in the last parcel was as it should be.
all | As an aside, the last mail from you had no subject line.
all | PS: there is a typing error on your front page.
all | By the way, the bell in your shop does not ring.
all | One other thing, which is of no importance: your map shows the wrong street.

## ref train
all | The order number is {n}.
all | It is order {n}.
all | Order: {n}.
all | My order no. is {n}.
all | You will find it under #{n}.
all | (Order {n})
all ^ | This is about order {n}.
all ^ | Re: order #{n}.
all ^ | I am writing about my order {n}.
"""
