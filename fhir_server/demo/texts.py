"""What a patient is told to do in each zone, in plain words: templates that a service adapts to the patient.

Bokmål is the text of the plan, the others are its translations. There is no Northern Sami yet: advice on what
to do when one gets worse is not to be guessed at, so those patients read their second language until a
translator has been at work.
"""

from __future__ import annotations

# Part of every red text.
_RED_NB = "Ring oppfølgingstjenesten nå. Får du ikke svar, ring legevakten på 116 117."
_RED_NN = "Ring oppfølgingstenesta no. Får du ikkje svar, ring legevakta på 116 117."
_RED_EN = "Call the follow-up service now. If nobody answers, call the out-of-hours doctor on 116 117."

# programme -> zone -> language -> text
SELF_CARE: dict[str, dict[str, dict[str, str]]] = {
    "copd": {
        "green": {
            "nb": (
                "Målingene er som de pleier for deg. Ta medisinene slik planen sier, vær litt i "
                "bevegelse hver dag, og fortsett å måle som avtalt."
            ),
            "nn": (
                "Målingane er som dei plar vere for deg. Ta medisinane slik planen seier, ver litt i "
                "rørsle kvar dag, og hald fram med å måle som avtalt."
            ),
            "en": (
                "Your readings are as usual for you. Take your medicines as your plan says, move a "
                "little every day, and go on measuring as agreed."
            ),
        },
        "yellow": {
            "nb": (
                "Målingene er litt utenfor det som er vanlig for deg. Sett deg og hvil i ti minutter, "
                "og mål én gang til. Pust rolig med leppepust, og bruk anfallsmedisinen slik planen "
                "din sier. Oppfølgingstjenesten ser målingene dine og tar kontakt. Ring dem selv hvis "
                "du blir mer tungpustet, hoster opp mer slim eller får feber."
            ),
            "nn": (
                "Målingane er litt utanfor det som er vanleg for deg. Set deg og kvil i ti minutt, og "
                "mål éin gong til. Pust roleg med leppepust, og bruk anfallsmedisinen slik planen din "
                "seier. Oppfølgingstenesta ser målingane dine og tek kontakt. Ring dei sjølv om du "
                "blir meir tungpusta, hostar opp meir slim eller får feber."
            ),
            "en": (
                "Your readings are a little outside what is usual for you. Sit down and rest for ten "
                "minutes, then measure once more. Breathe slowly with pursed lips, and use your "
                "reliever as your plan says. The follow-up service sees your readings and will contact "
                "you. Call them yourself if you get more short of breath, cough up more phlegm or get "
                "a fever."
            ),
        },
        "red": {
            "nb": (
                "Målingene er langt utenfor det som er vanlig for deg. "
                + _RED_NB
                + " Ring 113 med en gang hvis du er svært tungpustet i ro, har vondt i brystet, eller "
                "blir forvirret eller sløv."
            ),
            "nn": (
                "Målingane er langt utanfor det som er vanleg for deg. "
                + _RED_NN
                + " Ring 113 med ein gong om du er svært tungpusta i ro, har vondt i brystet, eller blir "
                "forvirra eller sløv."
            ),
            "en": (
                "Your readings are far outside what is usual for you. "
                + _RED_EN
                + " Call 113 at once if you are very short of breath at rest, have pain in your chest, or "
                "become confused or drowsy."
            ),
        },
    },
    "heart-failure": {
        "green": {
            "nb": (
                "Målingene er som avtalt. Ta medisinene slik planen sier, hold deg til den "
                "drikkemengden dere har avtalt, og vei deg hver morgen."
            ),
            "nn": (
                "Målingane er som avtalt. Ta medisinane slik planen seier, hald deg til den "
                "drikkemengda de har avtalt, og veg deg kvar morgon."
            ),
            "en": (
                "Your readings are as agreed. Take your medicines as your plan says, keep to the "
                "amount of fluid you have agreed, and weigh yourself every morning."
            ),
        },
        "yellow": {
            "nb": (
                "Vekten, blodtrykket eller pulsen er utenfor det dere har avtalt. Hvil i ti minutter "
                "og mål én gang til. Se etter om beina er mer hovne enn før, og følg med på hvor mye "
                "du drikker. Oppfølgingstjenesten ser målingene dine og tar kontakt. Ring dem selv "
                "hvis du blir mer tungpustet, svimmel, eller må ha flere puter for å sove."
            ),
            "nn": (
                "Vekta, blodtrykket eller pulsen er utanfor det de har avtalt. Kvil i ti minutt og mål "
                "éin gong til. Sjå etter om beina er meir hovne enn før, og følg med på kor mykje du "
                "drikk. Oppfølgingstenesta ser målingane dine og tek kontakt. Ring dei sjølv om du "
                "blir meir tungpusta, svimmel, eller må ha fleire puter for å sove."
            ),
            "en": (
                "Your weight, blood pressure or pulse is outside what you have agreed. Rest for ten "
                "minutes and measure once more. Look whether your legs are more swollen than before, "
                "and keep an eye on how much you drink. The follow-up service sees your readings and "
                "will contact you. Call them yourself if you get more short of breath or dizzy, or "
                "need more pillows to sleep."
            ),
        },
        "red": {
            "nb": (
                "Målingene kan tyde på at hjertesvikten blir verre. "
                + _RED_NB
                + " Ring 113 med en gang hvis du har vondt i brystet, er svært tungpustet i ro, eller er "
                "i ferd med å besvime."
            ),
            "nn": (
                "Målingane kan tyde på at hjartesvikten blir verre. "
                + _RED_NN
                + " Ring 113 med ein gong om du har vondt i brystet, er svært tungpusta i ro, eller held "
                "på å svime av."
            ),
            "en": (
                "Your readings may mean that your heart failure is getting worse. "
                + _RED_EN
                + " Call 113 at once if you have pain in your chest, are very short of breath at rest, or "
                "are about to faint."
            ),
        },
    },
    "diabetes": {
        "green": {
            "nb": (
                "Blodsukkeret er innenfor det dere har avtalt. Fortsett med mat, aktivitet og "
                "medisiner slik planen sier."
            ),
            "nn": (
                "Blodsukkeret er innanfor det de har avtalt. Hald fram med mat, aktivitet og medisinar "
                "slik planen seier."
            ),
            "en": (
                "Your blood sugar is within what you have agreed. Go on with food, activity and "
                "medicines as your plan says."
            ),
        },
        "yellow": {
            "nb": (
                "Blodsukkeret er utenfor det dere har avtalt. Er det lavt: ta noe søtt nå, for "
                "eksempel et glass juice eller druesukker, og mål igjen etter 15 minutter. Er det "
                "høyt: drikk vann, og gjør som planen din sier. Oppfølgingstjenesten ser målingene "
                "dine. Ring dem hvis det ikke blir bedre."
            ),
            "nn": (
                "Blodsukkeret er utanfor det de har avtalt. Er det lågt: ta noko søtt no, til dømes "
                "eit glas juice eller druesukker, og mål igjen etter 15 minutt. Er det høgt: drikk "
                "vatn, og gjer som planen din seier. Oppfølgingstenesta ser målingane dine. Ring dei "
                "om det ikkje blir betre."
            ),
            "en": (
                "Your blood sugar is outside what you have agreed. If it is low: take something sweet "
                "now, such as a glass of juice or glucose tablets, and measure again after 15 minutes. "
                "If it is high: drink water, and do as your plan says. The follow-up service sees your "
                "readings. Call them if it does not get better."
            ),
        },
        "red": {
            "nb": (
                "Er blodsukkeret lavt: ta noe søtt med en gang hvis du kan svelge, og mål igjen etter "
                "15 minutter. Ikke vær alene. "
                + _RED_NB
                + " Ring 113 hvis du eller de rundt deg merker at du blir omtåket, ikke kan svelge, "
                "kaster opp og ikke får i deg drikke, eller puster tungt."
            ),
            "nn": (
                "Er blodsukkeret lågt: ta noko søtt med ein gong om du kan svelgje, og mål igjen etter "
                "15 minutt. Ikkje ver åleine. "
                + _RED_NN
                + " Ring 113 om du eller dei rundt deg merkar at du blir omtåka, ikkje kan svelgje, "
                "kastar opp og ikkje får i deg drikke, eller pustar tungt."
            ),
            "en": (
                "If your blood sugar is low: take something sweet at once if you can swallow, and "
                "measure again after 15 minutes. Do not be alone. "
                + _RED_EN
                + " Call 113 if you or those around you notice that you become dazed, cannot swallow, are "
                "vomiting and cannot keep fluids down, or breathe heavily."
            ),
        },
    },
}

# What matters to the patient, in the patient's own words: programme -> goals to draw from
OWN_GOALS: dict[str, tuple[str, ...]] = {
    "copd": (
        "Jeg vil kunne gå til butikken og tilbake uten å stoppe",
        "Jeg vil slippe å bli innlagt i vinter",
        "Jeg vil kunne synge i koret igjen",
    ),
    "heart-failure": (
        "Jeg vil kunne bo hjemme og stelle hagen",
        "Jeg vil sove flatt en hel natt",
        "Jeg vil være med barnebarna på tur",
    ),
    "diabetes": (
        "Jeg vil være trygg på at jeg ikke får føling om natten",
        "Jeg vil ha krefter til å sykle til jobb",
        "Jeg vil forstå hva maten gjør med blodsukkeret",
    ),
}
