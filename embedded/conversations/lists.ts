/** The words from which facts are drawn: people, places, things, dates. */

const words = (text: string): readonly string[] => text.trim().split(/\s*,\s*|\s*\n\s*/);

/** Months in order. */
export const MONTHS: readonly string[] = words(
  "January, February, March, April, May, June, July, August, September, October, November, December",
);

/** Days of the week. */
export const WEEKDAYS: readonly string[] = words(
  "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
);

/** Given names. "May", "April" and "June" are omitted because they are months. */
export const FIRST_NAMES: readonly string[] = words(`
Anna, Ben, Carla, David, Elena, Farid, Grace, Hassan, Irene, Jonas, Karen, Liam, Maria, Nadia, Oscar, Priya
Quentin, Rosa, Samuel, Tara, Umar, Vera, Walter, Ximena, Yusuf, Zoe, Aisha, Bruno, Chloe, Dmitri, Esther, Felix
Gloria, Hugo, Ingrid, Jamal, Keiko, Lars, Mei, Nathan, Olga, Pedro, Rachel, Stefan, Tomas, Ursula, Victor, Wendy
Adrian, Beatrix, Caleb, Daniela, Edwin, Fatima, George, Helena, Ivan, Julia, Kofi, Leila, Marcus, Nina, Owen
Petra, Rafael, Sonia, Theo, Valeria, William, Yara, Amir, Bianca, Cyril, Dora, Emil, Freya, Gavin, Hannah, Idris
Jasmine, Kenji, Lucia, Mateo, Noemi, Olivia, Patrick, Ravi, Sandra, Tobias, Veronica, Wei, Yolanda, Zachary, Alma
Boris, Clara, Desmond, Erika, Frank, Greta, Henry, Isabel, Jack, Kira, Leon, Mona, Nils, Oliver, Paula, Robert
Selma, Trevor, Viktoria, Amara, Cedric, Dina, Elias, Fiona, Gustav, Hilda, Ismail, Judith, Kurt, Linda, Miriam
`);

/** Family names. */
export const LAST_NAMES: readonly string[] = words(`
Abbott, Becker, Castro, Dalton, Eriksen, Fischer, Gomez, Hughes, Ivanov, Jensen, Kaplan, Lopez, Meyer, Novak
Okafor, Patel, Quinn, Rossi, Santos, Tanaka, Ueda, Vargas, Weber, Yilmaz, Zhang, Andersson, Bianchi, Chen, Diaz
Evans, Ferrari, Garcia, Haddad, Ibrahim, Jackson, Kowalski, Larsen, Martin, Nguyen, Olsen, Popov, Reyes, Schmidt
Thompson, Usman, Virtanen, Walsh, Xu, Youssef, Zeller, Adeyemi, Barnes, Cohen, Dupont, Egan, Fournier, Grant
Hoffman, Iqbal, Jovanovic, Kim, Lindgren, Moreau, Nowak, Osborne, Petrov, Ramirez, Silva, Torres, Urban, Vogel
Wright, Yang, Zimmer, Alvarez, Brandt, Cruz, Dawson, Espinosa, Farrell, Goldberg, Hansen, Ishii, Johansson, Khan
Leclerc, Mendez, Nakamura, Oconnor, Pereira, Richter, Sato, Tran, Vance, Wagner, Young, Zapata, Bauer, Carver
Delgado, Fuentes, Griffin, Herrera, Jimenez, Keller, Lambert, Murphy, Nielsen, Ortega, Price, Russo, Sharma
`);

/** Cities. */
export const CITIES: readonly string[] = words(`
Lisbon, Vienna, Oslo, Toronto, Chicago, Denver, Madrid, Prague, Dublin, Athens, Warsaw, Helsinki, Zurich, Milan
Lyon, Porto, Seville, Geneva, Munich, Hamburg, Leeds, Bristol, Glasgow, Cardiff, Boston, Seattle, Austin, Atlanta
Montreal, Vancouver, Tokyo, Osaka, Seoul, Singapore, Bangkok, Dubai, Istanbul, Cairo, Nairobi, Lagos, Lima, Bogota
Santiago, Sydney, Melbourne, Auckland, Mumbai, Delhi, Budapest, Krakow, Antwerp, Utrecht, Malaga, Valencia, Naples
`);

/** Streets. */
export const STREETS: readonly string[] = words(`
Mill Road, Oak Avenue, Station Street, River Lane, Church Street, Park Road, Elm Drive, Harbour Street, Hill Close
Maple Avenue, Castle Road, Garden Street, Bridge Lane, Market Square, Forest Way, King Street, Lake Drive
Cherry Lane, Tower Road, Abbey Street, Sunset Boulevard, Orchard Close, Windmill Lane, Birch Street, Quarry Road
`);

/** Things that a shop sells. */
export const PRODUCTS: readonly string[] = words(`
kettle, toaster, blender, coffee machine, espresso maker, rice cooker, air fryer, hand mixer, vacuum cleaner
steam iron, desk lamp, floor lamp, bookshelf, office chair, standing desk, mattress, duvet, armchair, sofa bed
bedside table, mirror, rug, tent, sleeping bag, rucksack, suitcase, bicycle helmet, mountain bike, scooter
yoga mat, rowing machine, tennis racket, football, pair of skis, fishing rod, guitar, keyboard, violin case
laptop, tablet, phone case, smartwatch, camera, tripod, printer, monitor, router, USB hub, webcam, microphone
headset, soundbar, television, projector, game console, memory card, hard drive, e-reader, drone, power bank
winter coat, rain jacket, wool sweater, linen shirt, pair of jeans, leather belt, pair of boots, silk scarf
evening dress, school bag, wallet, pair of sandals, wristwatch, necklace, hair dryer, electric shaver
baby monitor, pushchair, high chair, board game, puzzle, dollhouse, aquarium, dog bed, cat carrier, lawn mower
hedge trimmer, garden hose, barbecue, parasol, drill, tool box, ladder, heater, fan, humidifier, smoke alarm
`);

/** Clothes and shoes, which have sizes. */
export const CLOTHES: readonly string[] = words(`
winter coat, rain jacket, wool sweater, linen shirt, denim jacket, leather jacket, cotton hoodie, evening dress
summer dress, ski jacket, wool cardigan, running top, cycling jersey, suit jacket, polo shirt, swimsuit, raincoat
`);

/** Cities that trains connect. */
export const RAIL_CITIES: readonly string[] = words(`
Vienna, Prague, Munich, Hamburg, Milan, Zurich, Lyon, Geneva, Madrid, Seville, Budapest, Krakow, Warsaw, Antwerp
Utrecht, Naples, Valencia, Malaga, Porto, Lisbon
`);

/** Things that run on electricity. */
export const DEVICES: readonly string[] = words(`
kettle, toaster, blender, coffee machine, espresso maker, rice cooker, air fryer, hand mixer, vacuum cleaner
steam iron, desk lamp, floor lamp, laptop, tablet, smartwatch, camera, printer, monitor, router, webcam, headset
soundbar, television, projector, game console, hard drive, e-reader, drone, power bank, hair dryer
electric shaver, baby monitor, lawn mower, hedge trimmer, drill, heater, fan, humidifier, keyboard, electric scooter
`);
