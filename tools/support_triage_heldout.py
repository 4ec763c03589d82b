"""Hand-written sentence patterns of the running example: validation, test, hard and other_shop.

The form is explained in `support_triage_patterns.py`.
"""

# product -> tags; "solid" is added to everything that is not "cloth"
OTHER_SHOP = {
    "mountain bike": "wheel",
    "road bike": "wheel",
    "cargo bike": "wheel",
    "bike trailer": "tow",
    "child seat": "fit",
    "bike helmet": "fit",
    "bike light": "elec small",
    "bike lock": "",
    "bike pump": "",
    "bike computer": "elec small",
    "head torch": "elec small",
    "power bank": "elec small power",
    "tent": "sew tent cloth",
    "sleeping bag": "sew cloth fit",
    "rucksack": "sew cloth fit",
    "rain jacket": "sew cloth fit",
    "camping stove": "gas",
    "gas lantern": "gas",
    "cool box": "",
    "water filter": "",
    "trekking pole": "",
    "kayak": "",
}
OTHER_SHOP_BRANDS = ["Peregrine", "Fellside", "Tarn", "Corvane"]

PATTERNS = """
## issue validation logistics
any tmn 3+ | No trace of my {p}: the shipping mail came {weeks} weeks back and the doorbell has stayed
    silent.
any tme 3+ | Your courier claims he rang on {day}. I was sitting by the window, so that cannot be, and the
    {p} is who knows where.
any C 3 | We will be on holiday when the {p} comes. Kindly put the delivery of order {o} off until {month}.
- tmn 3 | Parcel {track} has been "at customs" for ages, although you ship from the next town.
- E 4 | Just out of interest, do your vans come before noon or later? Order {o} is due some time next month.

## issue validation aftersales
any mn 3+ | Wrong goods delivered: order {o} was for a {p}, the carton holds something quite different.
any m 3 | We have decided against the {p} after all. Nothing has been unwrapped, it can be collected.
case N 3+ | While building the {p} I noticed that the hinges are not there. Kindly let me have the hinges.
large n 3 | The {p} is lovely but too large for the corner, the next size down would suit us.
any E 3 | Which label do I stick on the parcel when I give back the {p}? I do not want to keep it.

## issue validation workshop
elec rnm 3+ | Since {day} my {p} gives no sign of life.
prog rnme 3+ | My {p} from order {o} beeps three times and shuts down halfway through.
wood rnm 3+ | The wood of the {p} has split along the grain, and now it leans to one side.
solid nm 3+ | There is a long crack in the {p}, it was like that when the carton was opened.
elec E 4 | How often ought I to descale or dust the {p}? It works well and I mean to keep it that way.

## issue validation billing
- me 3 | My statement has your name on it two times for the single order {o}.
any m 3 | I gave back the {p} in {month} and you confirmed it, yet not a penny has reached my bank.
- me 2 | Week after week {price} pounds leave my bank for a plan that I ended long ago.
- C 3 | There is a wrong company name on the bill for order {o}. It has to read Fenwick and Lowe, please
    amend it.
- e 3 | The code from my gift card is called invalid when I come to pay.

## issue validation accounts
- e 3 | Signing in has been impossible since {day}, the page simply reloads.
- C 4 | I would rather not receive your weekly adverts by mail any longer. Take me out of the mailing,
    please.
- c 3 | My married name is Sorensen now, and my profile still has the old one.
- C 3 | I want every trace of my profile wiped from your system, please.

## issue validation presales
any E 4+ | Is the {p} still to be had from your warehouse? I am thinking of getting one.
furn E 4 | What are the exact measurements of the {p}? I am planning a niche of {cm} cm.
elec E 4 | Before I buy the {p}: does it need a special socket?
any E 4 | Is it worth waiting for the next model of the {p}, or shall I buy the one on show now?

## issue validation hazards
elec mnre 1 | When I plugged the {p} in, there was a bang, then grey smoke.
solid mne 1 | I have a deep cut in my thumb from a razor-sharp edge on the {p}.
water mre 1 | The {p} drips onto the socket beneath it, the plug was already wet.
baby mne 1 | A screw dropped out of the {p} and our son put it straight into his mouth.
seat mne 1 | Under my sister the {p} gave way all at once, her wrist is sprained.

## ask validation money_back
all | The amount should go back to where it came from, please.
all | I prefer to be reimbursed.
## ask validation new_item
all | Let me have another one, please.
aftersales,workshop,hazards | Please swap it for a proper one.
## ask validation repair_visit
all | I would be glad if a fitter came to see to it.
all | Please have it put in working order again.
## ask validation trace_parcel
all | Please chase up the shipment.
all | Can somebody investigate where it ended up?
## ask validation explanation
all | I should like to understand why that is.
all | Please advise me how to go on.
## ask validation change_details
all | Please amend the entry.
all | That needs altering in your files, please.

## tone validation furious
all | Morons. Absolute morons.
prob | I AM DONE BEING POLITE, you have lied to me long enough!
prob | Expect a letter from my solicitor.
all | How stupid can one shop be?!
## tone validation annoyed
prob | I cannot say that this impresses me.
all | Getting hold of anybody at your place is a chore.
prob | Bravo, another thing I get to chase in my lunch break.
all | It bothers me that I have to ask again.
## tone validation friendly
all | Warm greetings to the whole team, you do a great job.
all | You have helped me so nicely before, thank you for that!
prob | Please do not worry, we all have such days, and I am grateful for your help.

## p1 validation
heat both | There is frost on the inside of our windows and this would be our sole source of warmth.
cold both | My daughter's insulin spoils unless it is kept cold and we have no other place for it.
infant both | Our little one has breathing trouble and needs it every single night.
air both | With my bad lungs I cannot do without it, the doctor insists on it.
care both | I am in a wheelchair and there is no other way for me to bathe safely.
## p2 validation
need | On {day} the house will be full of visitors and it must be here by then.
need | We are hosting a party this weekend and count on it.
gen | Please note that I have only until {day}.
gen | It cannot wait beyond tomorrow.
## time validation
all | I do not mind if it takes a while.
all | Please see to it quickly.
## decoy validation
all | On your letter I am customer {n5}.
all | My mobile is 07{d9} in case you want to call.
all | The slip says parcel {track}.
## side validation
all | While I am at it, your site map has a dead link.
all | Incidentally, your postman lost his cap at our gate.
## ref validation
all | For your files: order {n}.
all | I mean order no. {n}.
all ^ | Touching on what I bought under {n}:

## issue test logistics
any tmne 3+ | Where on earth is the {p}? By now it should have been with us for {weeks} weeks.
any tmn 3+ | A card in my letter box says that my {p} is with "Smith". I know nobody called Smith, and nor
    does anyone in the building.
- tme 3 | As far as the courier is concerned, order {o} has been sitting in a van since {day}.
any C 3 | Nobody can take in the {p} on the date you have set. Some time in {month} would suit us, so please
    reschedule order {o}.
- C 3 | The flat number is missing from the shipping label of order {o}, it is 4B. Kindly pass that on to
    the driver before he sets off.
any tmn 3+ | I have had one half of the shipment. The carton with the {p}, though, is nowhere to be seen.
any tmn 3+ | Signed for by "M. Brown", says the website about my {p}. There is no Brown at this address and
    I signed nothing.
any tme 3+ | First {month}, then last week, now no date at all: that is the story of my {p} so far.
any E 4 | Nothing wrong, I merely wonder whether the {p} I ordered will arrive in one box or in two.

## issue test aftersales
any mne 3+ | That is not what I chose. I picked a {p} and out of the carton came some other article.
any m 3 | On second thoughts the {p} is not for us. It is still wrapped, and we would like to give it back.
furn N 3+ | The bag with the dowels and the Allen key for the {p} was left out of the carton. Kindly mail it
    to me.
elec N 3+ | Where the mains lead of the {p} should be, there is an empty slot in the foam. Please supply the
    lead.
any mn 3+ | Order {o} says {p} in black. Mine is bright yellow.
any E 3 | Could you walk me through the steps for giving back a {p} that I do not want? It lies here unused.
any n 3 | The {p} turned out to be too small for our needs. An exchange for the large one would be perfect.
any m 3 | My sister and I had the same idea and gave Dad a {p} each. Ours has not been touched and may go
    back.

## issue test workshop
elec rnme 3+ | Not a single lamp lights up on the {p} any longer, in whichever socket I try it.
motor rnm 3+ | My {p} rattles like an old tractor and then cuts out.
prog rnm 3+ | Whatever setting I choose, the {p} stops after five minutes and E{small} flashes on the front.
furn rnm 3+ | A joint of the {p} has come apart, although we treated it with care.
solid nm 3+ | The {p} is chipped and scratched, and I only just took it out of the wrapping.
smart E 3+ | I am stuck with the first start of the {p}: the menu stays in Chinese. Which button gets me to
    English?
motor E 4 | Is it normal that the {p} hums softly at night? All is well with it, I was only wondering.
cold rnm 3+ | It is 15 degrees inside the {p} although the dial is at the coldest mark.
cloth nm 3 | After a couple of weeks in normal use the {p} has a hole, and threads hang out everywhere.
door rnm 3+ | A hinge on the {p} is gone, so the door has to be held shut with tape.

## issue test billing
- me 3 | For order {o} you have helped yourselves to my money two times over.
any m 3 | The {p} went back to you long ago, the depot signed for it, and still I see no credit on my card.
any me 3 | According to your ad the {p} was {price} pounds. On my card statement it is a good deal more.
- me 2 | A sum of {price} pounds goes out to you every single Monday and I never agreed to any such thing.
- me 2 | A stranger has paid with my card at your shop, I have never placed order {o}.
- C 3 | Could the bill for order {o} be made out to our club, Penmouth Rowers? My own name should not be on
    it.
- e 3 | At the till page my discount code is struck out without a word, even though it runs until {month}.
- E 4 | One thing I have been wondering about: do you also accept payment by bank transfer?
- e 3 | Your reminder asks me for {price} pounds. I do not owe you a thing, order {o} was settled long ago.

## issue test accounts
- e 3 | However often I type the password, the login page tells me it is wrong. The reset mail does not turn
    up either.
- C 4 | Those Sunday mails with offers are not for me. Kindly unsubscribe me.
- c 3 | From now on I use another mail address, lena.brandt@post.example, but my profile has the former one.
- C 3 | I wish to close my profile for good, together with everything stored in it.
- c 3 | My customer page still lists the house we sold. The right place is 27 Quarry Road, Oldham Cross.
- e 3 | All my saved lists and earlier purchases have disappeared from my customer page overnight.
- E 3 | What personal data of mine do you keep, and where did you get it?
- C 2 | A person unknown to me is using my login at this moment and keeps buying vouchers with it. Please
    block the profile.

## issue test presales
any E 4+ | If I order the {p} now, is it on the shelf or does it have to be made first?
furn E 4 | I am toying with the idea of a {p}. Would it go through a door that is {cm} cm wide?
elec E 4 | Would the {p} run on the weaker current of a camper van? If so I will take one.
any E 4 | In which colours can one buy the {p}?
any E 4 | Does a {p} from you come with a longer guarantee than the usual one? That would make me buy it.
pan E 4 | Can the {p} be put in the oven, handle and all? I am about to buy one.
any E 4+ | Your list marks the {p} as sold out. Is a new batch on its way?
- E 4 | Is there a shop of yours near Leeds where one can look at things before buying?

## issue test hazards
elec mnre 1 | Out of nowhere the {p} started to smoke and the kitchen stank for hours.
elec mnre 1 | Blue sparks fly whenever the plug of the {p} goes into the wall.
elec mne 1 | The metal part of the {p} is live, it gave my wife a shock that threw her arm back.
furn mne 1 | A bolt sheared off and the {p} came down on my foot, two toes are broken.
water mre 1 | Water runs out of the {p} and has crept into the fuse box beside it.
baby me 1 | Little bits of plastic come off the {p}. Our baby choked on one and we had to turn him upside
    down.
glass mne 1 | Splinters of glass came off the {p} and one went into my daughter's finger.
heat mnre 1 | The {p} has scorched the wall behind it, and the plastic has begun to melt.
steam mnre 1 | Hot steam shot out of the side of the {p} and I have blisters on my wrist.

## ask test money_back
all | Just give me a refund, please.
all | The purchase price is what I want returned to me.
all | I would rather have my payment back than anything else.
all | Please reverse the payment.
## ask test new_item
all | A substitute would put things right, so please send one.
workshop,hazards | Please let me have the same thing again, in good order.
aftersales,workshop,hazards | I ask for a swap.
all | Would you hand a new one to the carrier for me?
## ask test repair_visit
all | Please get a mechanic over here.
all | Is there anyone who can come round and fix it?
all | I would like it restored to working order at my place.
all | A home visit by one of your engineers is what I need.
## ask test trace_parcel
all | Kindly get hold of the delivery firm and locate it.
all | I need to know its whereabouts.
all | Would you hunt it down for me, please?
all | Please open an inquiry with the carrier.
## ask test explanation
all | How do you account for that?
all | Kindly clarify this for me.
all | Tell me how I ought to proceed, please.
all | An answer to that is all I am after.
## ask test change_details
all | Please have your records say the right thing.
all | Kindly make that change on your end.
all | I ask you to overwrite the old information.

## tone test furious
prob | I swear you are the worst crooks in the country!
all | GET YOUR ACT TOGETHER, FOR HEAVEN'S SAKE!!!
prob | Next stop: the ombudsman, and then the local paper.
all | Brainless, the lot of you.
prob | What a shameless rip-off, you should all be sacked!
all | Are you deaf or just plain dumb?
## tone test annoyed
prob | That leaves a bad taste, I have to say.
prob | Frankly I had hoped for more care.
all | It would be nice if, for once, somebody replied to me.
prob | What a treat, yet another evening lost to your shop.
all | I have clicked through your help menu five times and it is wearing me out.
prob | This does not make me want to order again.
## tone test friendly
all | Bless you all, you have been wonderful to us over the years.
all | Do pass on my compliments to the colleagues on the phone.
prob | Nobody is perfect, so no harm done, and thanks so much for looking into it.
all ^ | May the sun be shining where you are, dear people!
all | I am ever so grateful, big hug to the team.

## p1 test
heat both | The pipes here are about to freeze and there is no other stove or anything to keep us warm.
heat both | With snow on the ground and a sick child in bed, this is all the warmth we would have.
cold both | It is for my injections, they are ruined above eight degrees and I cannot live without them.
infant both | My baby was born at 29 weeks and his safety at night hangs on it.
infant both | The midwife told us that our sick infant must not go a night without it.
air both | My partner gets attacks and has to be taken to hospital when the air here is bad, so we depend on
    it.
care both | Since her hip operation my aunt has fallen twice, she cannot manage without this.
care both | My brother is paralysed and the carers cannot move him without it.
## p2 test
need | There is a family reunion at ours on {day} and without it we are stuck.
need | The new lodger arrives on {day}, so by then it has to be in place.
need | My son's birthday party is in five days and it is meant for that.
gen | After {day} I am out of the country, so it has to be done by then.
gen | The latest date for me is {day}.
gen | I have just two days left to get this cleared up.
## time test
all | Whenever it suits you will be fine.
all | Pronto, please.
all | No pressure, sometime in the coming months will do.
## decoy test
all | You have me down as customer no. {n5}.
all | The amount was {price} pounds, paid on {date}.
all | Call me on 07{d9} if need be.
all | Your clerk gave me the reference T-{n4}.
elec | On the back I read type {model}.
all | The courier's code reads {track}.
## side test
all | One more small thing, the photo on your home page is upside down.
all | Oh, and the lift in your car park squeaks, as you may know.
all | PS: the last paper catalogue was torn, but never mind that.
## ref test
all | The number on the confirmation is {n}.
all | Your order code for it: {n}.
all | See #{n}.
all ^ | Concerning order no. {n}:

## issue hard logistics
any tmn 3+ | The bill was right, the price was fine, I even found the matching colour. What has not turned
    up is the {p} itself.
any tmn 3+ | I first thought my login was at fault, but no, the profile is in order: the {p} simply never
    reached me.
any tme 3+ | Somebody in your chat told me to send the {p} back. I would have to have it for that. It has
    been "out for delivery" since {day}.
- C 3 | My profile already has the new address. It is the parcel of order {o} that still heads for the old
    one, so please redirect that.
any tmn 3+ | All screws for the {p} came in a bag, well packed. The big box with the {p} proper has got lost
    somewhere on the road.
any E 4 | Just a remark while I wait for the {p}, which is not even due yet: how do your drivers manage four
    floors with no lift?

## issue hard aftersales
any mn 3+ | Delivery was on the dot and the thing runs well, only it is not the {p} I asked for but a
    different article.
any m 3 | There is nothing the matter with the {p}, it works. My husband hates the look of it, so back it
    must go, unused.
furn N 3+ | I was about to report the {p} as broken until I saw that it only lacks the two cross bars.
    Please send the bars.
any mn 3+ | The refund for the last thing came quickly, thanks. Now the {p}: the label is right, the colour
    is not.
large n 3 | Before I ordered I asked whether the {p} would fit and was told yes. It does not, I need the
    narrow version.
any E 3 | My card was debited correctly for the {p}. What nobody tells me is how I hand it back, I have no
    use for it.

## issue hard workshop
elec rnme 3+ | The {p} came two days late, which I can live with. But now it refuses to start.
motor rnm 3+ | I do not want to send the {p} back and I need no spare parts list. It has stopped heating or
    turning, that is the trouble.
furn rnm 3+ | Nothing was missing from the box of the {p} this time. Yet a rail has snapped after {weeks}
    weeks.
solid nm 3+ | Courier was fine, carton was fine. The {p} inside, brand new, has a crack.
smart E 4 | You charged the right sum and it came in time, so this is only a how-to: where does one reset
    the {p} to factory settings?
elec rnm 3+ | I had planned to ask whether you stock a second {p}. Well, first see to the one I own, the
    knob has come off and it is stuck.

## issue hard billing
any me 3 | The {p} works and it came in one piece. My trouble is that I have been billed for two.
any m 3 | I know that the {p} I returned has arrived, no need to track it. The credit for it has not.
- me 2 | Stopping the newsletter went well. Stopping you from taking {price} pounds off my card each week
    did not.
- e 3 | Login fine, voucher there, and yet the checkout turns the voucher down. I have no idea why.
- C 3 | Please leave my profile as it is. Only the invoice for order {o} should carry the firm's name, Tull
    Brothers, so make it out anew.
- me 2 | I opened your mail about a parcel I know nothing of, checked my bank, and found a stranger buying
    from you with my card.

## issue hard accounts
- e 3 | The parcel came, the bill is paid. I merely want to look at my profile and the site does not let me
    in.
- c 3 | Today's parcel has come to the right door, so leave that alone. What is wrong is the address in my
    profile for the next time, it must be 9 Dock Street.
- C 4 | I have no complaint about any order. Your newsletter, though, I can do without, so please strike me
    off.
- C 3 | I was going to buy something today, but first please fix the name in my profile, it says Jon and I
    am Joan.
- C 3 | My voucher was honoured and my parcel came. That ends it: erase my profile and my data, please.

## issue hard presales
any E 4+ | My neighbour's {p} from you arrived broken. Mine I have not bought yet: do you have sturdy ones
    in stock?
any E 4 | I nearly placed an order last night and the login failed, which is solved. So, is the {p} also
    sold without the wrapping?
furn E 4 | Yours may be a refund question every day, mine is not: will a {p} fit under a slope of {cm} cm,
    if I buy it?
motor E 4 | I returned a rival's product last week. Would your {p} be quieter? Then I would take one.

## issue hard hazards
elec mnre 1 | It also came late and the box was torn, but above all: the {p} is smoking at the plug.
elec mne 1 | I meant to ask for a copy of the invoice for the {p}. Since this morning, though, everybody who
    touches it gets a shock.
furn mne 1 | There was a part missing, so we built the {p} without it, and it fell over onto my boy, who has
    a bump on his head.
water mre 1 | I would love to keep the {p}. It does its job, except for the small trickle that runs from it
    down to the power strip.
baby me 1 | The colour of the {p} is wrong as well, but what worries me is the loose peg: our baby had it
    halfway down her throat.
solid mne 1 | The price was good and the {p} looks nice. It also took a slice out of my palm, there is a
    blade of metal under the rim.
elec mnre 1 | A funny thing: the {p} now toasts its own cable. The insulation has melted and there was a
    little flame.

## tone hard furious
prob | With all due respect, and I say it quite calmly: you are frauds.
all | MY PATIENCE IS GONE, YOU BUFFOONS!!!
prob | Kindly be informed that I am suing you.
all | Even my dog would run this shop better than you half-wits!
prob | Pay up for this mess or I go to the police.
## tone hard annoyed
prob | Oh, splendid. Simply splendid. Top marks from me.
prob | Thank you so very much for this delightful surprise, I had nothing else to do.
all | I adore talking to your answering machine, it knows me by name now.
prob | Hats off, it takes talent to get this wrong.
all | As usual I expect no reply, so surprise me.
## tone hard friendly
all | Sorry to trouble you with this, you lovely people.
prob | Silly old thing, I had to laugh, and you have always been so good to me.
all | A thousand thanks, and cake for everyone if I am ever near your office.
prob | Do not be cross with anyone over it, you are a delightful team and I am happy with you.

## time hard
all | There is really no need to hurry on my account, finish your tea first.
all | Whenever you find a quiet moment will do nicely.
all | This is an emergency, so drop everything else.
all | Any day this year is good enough.
all | Right this minute, please.
## decoy hard
all | You filed me as customer {n6}.
all | My old invoice {n6} has nothing to do with it.
any | The parcel label reads {n6}.
any | A sticker underneath gives the serial {n6}.
all | Your colleague noted case {n6}.
all | My bank calls the payment {n6}.
all | I am member {n6} of your bonus club.
all | My phone at work is {n6}, extension {small}.
## side hard
all | The {p2} from the same shipment is a joy, by the way.
all | We also own a {p2} of yours, which has never given any trouble.
-logistics | The late delivery last year has long been sorted out, so forget that one.
-billing | That odd charge in {month} has been paid back, so that is settled.
-accounts | My trouble with the password is solved, please ignore my other mail.
all | One day I may ask you about a {p2}, but that is for another time.
-workshop,hazards | I hear you repair things too, but that is not why I write.
## ref hard
all | I mean order {n}, not {n6}, which was a different one and is all right.
all | Please do not mix it up with {n6}; this one is order {n}.
all | Look it up as {n}, for that is how the order is numbered.
all | Order number, as far as I can read it: {n}.
all ^ | Regarding {n}, as your confirmation of purchase calls it:

## issue other_shop logistics
any tmne 3+ | My {p} left your depot on {day} and has not been seen since.
any tmn 3+ | We wanted to ride out last weekend, but the {p} was not delivered, the slot just passed by.
- C 3 | I will be on the trail until {month}. Hold order {o} at the pick-up shop until I am back, please.
- tme 3 | The freight firm tells me that order {o} is on a lorry in the wrong country.
any E 4 | It is early days, I know, but does the {p} come by post or by haulier when it is due?

## issue other_shop aftersales
any mn 3+ | I unpacked the {p} at the trail head, and it is not the size I had picked.
any m 3 | The {p} is too heavy for my taste. It has not been outdoors yet and I would hand it back.
- N 3+ | The bag of pegs and guy lines is not in the parcel of order {o}. Please send that bag.
fit n 3 | The {p} pinches when I put it to use. One size up would do, I would like to trade it in.
any E 3 | Can the {p} be handed back in one of your shops, and how? It is not for me, the tag is still on.

## issue other_shop workshop
elec rnme 3+ | The {p} died on me ten miles from home and has not come back to life.
wheel rnm 3+ | On the {p} the brake drags and the rear axle creaks, even fresh from your stand.
sew rnm 3+ | The zip of the {p} came off its rail on the second outing.
solid nm 3+ | The {p} was cracked when I pulled it out of the wrapping paper.
wheel E 4 | How much air ought the tyres of the {p} to have? It rolls well, I ask out of interest.

## issue other_shop billing
- me 3 | You drew the price of order {o} from my card on {day} and once more a day later.
any m 3 | The hire fee for the {p} was to be paid back when I bought it. That never happened.
- me 2 | The club fee of {price} pounds is taken every week. I resigned in {month}.
- C 3 | The receipt for order {o} has to show our school, Hillcrest, not me. Please redo it.
- E 4 | For some other day: do you take cycle-to-work vouchers?

## issue other_shop accounts
- e 3 | The rider app will not accept my sign-in any more, it loops back to the start.
- c 3 | I have a new home, 5 Ferry Steps, and my member profile does not know it yet.
- C 4 | Kindly leave me out of the trail news mailing in future.
- C 3 | Scrub my member profile and all rides logged in it, please.

## issue other_shop presales
any E 4+ | Is the {p} in the window for sale and could I get it soon?
wheel E 4 | I am 190 cm tall. Which frame of the {p} would be mine, if I went for it?
sew E 4 | How much rain does the {p} stand before it soaks through? I have my eye on one.
elec E 4 | How many hours does the {p} last on one charge? I may buy it for a tour.

## issue other_shop hazards
small mnre 1 | The {p} began to smoke in my saddle bag while I was riding.
wheel mne 1 | The front fork of the {p} snapped on a descent and I broke my collarbone.
solid mne 1 | A rivet on the {p} tore my palm open, it needed six stitches and bled badly.
gas mne 1 | The {p} leaks fuel at the valve and a flame ran up my sleeve, I have burns on the arm.
elec mne 1 | My {p} gave me an electric shock when it got wet.
tow me 1 | The hitch of the {p} opened by itself and our child was thrown out and hurt.

## ask other_shop money_back
all | I want to be paid back in full.
all | A refund, please.
## ask other_shop new_item
all | Please issue me with another one.
all | I would take a new one in return.
## ask other_shop repair_visit
all | Could your mechanic call at my place and true it up?
all | I would like to have someone of yours come and mend it.
## ask other_shop trace_parcel
all | Please have a look where it is travelling.
all | Please find it, wherever it is.
## ask other_shop explanation
all | Put me in the picture, please.
all | Please tell me what lies behind this.
## ask other_shop change_details
all | Please note the change.
all | Let your files say so from today, please.

## tone other_shop furious
all | You bungling amateurs, stick to selling peanuts!
prob | I will have your licence for this!!!
all | WAKE UP AND DO YOUR JOB!
## tone other_shop annoyed
prob | That is no way to treat a club member.
all | Your staff kept passing me around, I am weary of it.
prob | Great start to the season, well done.
## tone other_shop friendly
all | Happy trails to all of you, you are the best crew!
all | Cheers to the nice man at the counter, he made my day.
prob | It happens to the best of us, and you are the best, so thank you kindly.

## p1 other_shop
tow both | It is the only way I can take my disabled son to his dialysis.
power both | I run my breathing machine off it when we are off the grid.
tent both | My father sleeps rough in this frost and has no other shelter.
## p2 other_shop
need | Our tour starts on {day} and I cannot set off without it.
need | The race is this weekend and it has to be on the start line with me.
gen | I catch a ferry on {day} and want it closed before then.
gen | The club needs my word by {day}.
## time other_shop
all | The season is long, so take it easy.
all | Chop chop, please.
## decoy other_shop
all | The till slip says {n4} and {price} pounds.
all | My member card is {n5}.
wheel | The frame is stamped {model}.
## side other_shop
all | Your coffee corner was closed last time, but that is another story.
all | The bell at your shop door sticks, in case no one told you.
## ref other_shop
all | You gave it the order number {n}.
all | Your clerk wrote {n} on the order form.
all ^ | On the subject of order {n}:
"""
