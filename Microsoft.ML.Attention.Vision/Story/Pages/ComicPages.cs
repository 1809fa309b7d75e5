namespace Microsoft.ML.Attention.Vision;

/// <summary>Lays the pictures of a story out on pages as StoryDiffusion does.</summary>
internal static class ComicPages
{
    private const int Border = 10, MostOnOnePage = 8;

    /// <summary>Pages of two by two pictures; places that are left over hold a picture that means nothing.</summary>
    /// <param name="pictures">The pictures, all of one size.</param>
    /// <param name="filler">What fills places that are left over.</param>
    /// <param name="caption">Writes the caption of a picture, counted from 0, into it.</param>
    public static IReadOnlyList<PagePicture> FourPanels(
        IReadOnlyList<PagePicture> pictures, PagePicture filler, Func<PagePicture, int, PagePicture>? caption = null)
    {
        // Not framed, as in the original: a row with a filler is scaled to the others' width.
        filler = filler.Resize(pictures[0].Width, pictures[0].Height);
        return [.. pictures.Select((picture, i) => Captioned(picture.Frame(Border), i)).Chunk(4).Select(four => Page(four, filler))];

        PagePicture Captioned(PagePicture picture, int i) => caption is null ? picture : caption(picture, i);

        static PagePicture Page(PagePicture[] four, PagePicture filler)
        {
            PagePicture[] cells = [.. four, .. Enumerable.Repeat(filler, 4 - four.Length)];
            return PagePicture.Stack([PagePicture.Beside(cells[..2]), PagePicture.Beside(cells[2..])]);
        }
    }

    /// <summary>
    /// One page of rows of four or six pictures, two in a row whole and the others by two in half the size, in an order that is drawn.
    /// </summary>
    /// <param name="pictures">The pictures, all of one size.</param>
    /// <param name="filler">What fills places that are left over.</param>
    /// <param name="random">What the order is drawn from.</param>
    /// <param name="caption">Writes the caption of a picture, counted from 0, into it; pictures of half size have none.</param>
    public static PagePicture Classic(
        IReadOnlyList<PagePicture> pictures, PagePicture filler, PythonRandom random, Func<PagePicture, int, PagePicture>? caption = null)
    {
        PagePicture[] framed = [.. pictures.Select(picture => picture.Frame(Border))];
        filler = filler.Resize(framed[0].Width, framed[0].Height);
        var (rows, start) = (new List<PagePicture>(), 0);
        foreach (var count in RowLengths(pictures.Count))
        {
            int[] cells = count == 4 ? [1, 1, 2] : [1, 1, 2, 2];
            random.Shuffle<int>(cells);
            rows.Add(PagePicture.Beside([.. cells.Select(Cell)]));
        }
        return PagePicture.Stack(rows);

        PagePicture Cell(int count)
        {
            var first = start;
            start += count;
            return count == 2 ? PagePicture.Stack([At(first), At(first + 1)]).Half()
                : caption is null || first >= framed.Length ? At(first)
                : caption(At(first), first);
        }

        PagePicture At(int i) => i < framed.Length ? framed[i] : filler;
    }

    // Four in a row; of many pictures four and six in turn, and of fewer than four that are left again four.
    private static IEnumerable<int> RowLengths(int count)
    {
        var length = 4;
        for (var left = count; left > 0; left -= length)
        {
            if (left < count)
                length = count > MostOnOnePage && length == 4 && left >= 4 ? 6 : 4;
            yield return length;
        }
    }
}
